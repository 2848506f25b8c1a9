// The editor of bulletins: saves as one types, and does in the page what its buttons do. Without this file every button
// sends the form, and all works the same.
//
// What is typed is kept in two places: in this browser (localStorage) at once, and at the server within a second and a
// half. What the server has confirmed is taken out of the browser again; what it has not, is sent when the page is
// opened the next time. An answer that got lost is no trouble: the same text sent again is answered with its revision.
"use strict";

(() => {
  const KEPT = "mailinglist.draft.";
  const QUIET = 600;
  const LONGEST = 1500;
  const AGAIN = [2000, 4000, 8000, 15000];

  const store = {
    read(key) {
      try {
        return JSON.parse(localStorage.getItem(KEPT + key));
      } catch {
        return null;
      }
    },
    write(key, value) {
      try {
        localStorage.setItem(KEPT + key, JSON.stringify(value));
      } catch {
        // Full, or forbidden: the server has it within a second anyway.
      }
    },
    drop(key) {
      try {
        localStorage.removeItem(KEPT + key);
      } catch {
        // As above.
      }
    },
  };

  for (const choice of document.querySelectorAll("[data-forget]")) {
    choice.addEventListener(choice.tagName === "FORM" ? "submit" : "click", () => store.drop(choice.dataset.forget));
  }

  const form = document.getElementById("draft");
  if (!form) return;
  const words = form.dataset;
  const key = words.key;
  const saved = document.getElementById("saved");
  const said = document.getElementById("said");
  const conflict = document.getElementById("conflict");
  const base = form.elements.base;

  // ── what the form says ──────────────────────────────────────────────────────────────────────────────────────────

  function body() {
    const pairs = [];
    for (const [name, value] of new FormData(form)) {
      if (name !== "csrf" && name !== "base" && typeof value === "string") pairs.push([name, value]);
    }
    return new URLSearchParams(pairs).toString();
  }

  function show(text, link) {
    saved.textContent = text;
    if (link) {
      const anchor = document.createElement("a");
      anchor.href = link;
      anchor.textContent = words.in;
      saved.append(" ", anchor);
    }
  }

  // ── saving ──────────────────────────────────────────────────────────────────────────────────────────────────────

  let confirmed = body(); // what the server has, as far as we know
  let sent = null; // what was sent and not answered yet
  let stopped = false; // a conflict, or a refusal: a person decides
  let flying = null;
  let timer = 0;
  let since = 0;
  let failures = 0;
  let title = document.title;

  function keep() {
    store.write(key, { base: base.value, body: body(), sent });
  }

  function changed() {
    const now = body();
    if (now === confirmed && !sent) return;
    keep();
    if (stopped) return;
    if (!since) {
      since = Date.now();
      if (!failures) show(words.typing);
    }
    clearTimeout(timer);
    timer = setTimeout(save, Math.max(0, Math.min(QUIET, since + LONGEST - Date.now())));
  }

  function post(text, from, options) {
    const whole = new URLSearchParams(text);
    whole.set("base", from);
    return fetch(words.save, {
      method: "POST",
      body: whole,
      headers: { "X-CSRF-Token": form.elements.csrf.value },
      credentials: "same-origin",
      ...options,
    });
  }

  function save() {
    clearTimeout(timer);
    timer = 0;
    if (flying) return flying.then(() => (body() === confirmed ? undefined : save()));
    if (stopped) return Promise.resolve();
    // What may have arrived goes first once more, unchanged: its answer tells the revision that we stand on.
    const text = sent ?? body();
    if (text === confirmed) {
      since = 0;
      return Promise.resolve();
    }
    since = 0;
    sent = text;
    keep();
    if (!failures) show(words.saving);
    flying = post(text, base.value)
      .then((answer) => took(answer, text))
      .catch(() => failed())
      .finally(() => {
        flying = null;
      })
      .then(() => {
        if (!stopped && !failures && body() !== confirmed && !timer) timer = setTimeout(save, QUIET);
      });
    return flying;
  }

  async function took(answer, text) {
    const elsewhere = answer.headers.get("HX-Redirect");
    if (elsewhere) {
      // Signed out: nothing was saved. The text waits in this browser.
      sent = null;
      stopped = true;
      keep();
      show(words.out, elsewhere);
      return;
    }
    if (answer.status >= 500 || !(answer.headers.get("Content-Type") || "").startsWith("application/json")) {
      if (answer.status >= 500) throw new Error(String(answer.status));
      sent = null;
      stopped = true;
      keep();
      show(words.refused);
      return;
    }
    const told = await answer.json();
    sent = null;
    failures = 0;
    if (answer.ok) {
      base.value = told.revision;
      confirmed = text;
      if (body() === confirmed) {
        store.drop(key);
        show(told.said);
      } else {
        keep();
      }
      document.getElementById("title").textContent = told.title;
      document.title = title.replace(/^.* – /, `${told.title} – `);
      problems(told.problems);
      refresh();
      return;
    }
    keep();
    stopped = true;
    if (told.conflict) {
      conflict.querySelector("[data-words]").textContent = told.said;
      conflict.hidden = false;
    }
    show(told.conflict ? words.refused : `${words.refused} ${told.said}`);
    if (!told.conflict && answer.status === 422) stopped = false; // the next change may mend it
  }

  function failed() {
    show(words.offline);
    keep();
    clearTimeout(timer);
    timer = setTimeout(save, AGAIN[Math.min(failures, AGAIN.length - 1)]);
    failures += 1;
  }

  form.addEventListener("input", changed);
  form.addEventListener("change", changed);
  window.addEventListener("online", () => save());
  window.addEventListener("pagehide", () => {
    // The answer is not heard any more; the text stays in this browser until the next look.
    if (!stopped && !leaving && body() !== confirmed) post(body(), base.value, { keepalive: true }).catch(() => {});
  });

  // What this browser kept when it was closed, or the connection was gone.
  async function recover() {
    const kept = store.read(key);
    if (!kept || kept.body === confirmed) {
      store.drop(key);
      return;
    }
    try {
      let from = kept.base;
      if (kept.sent && kept.sent !== kept.body) {
        const first = await post(kept.sent, from);
        if (first.ok) from = (await first.json()).revision;
      }
      const answer = await post(kept.body, from);
      const told = await answer.json();
      if (answer.ok) {
        store.drop(key);
        sessionStorage.setItem(KEPT + "said", words.restored);
        window.location.reload();
        return;
      }
      if (!told.conflict) return;
      // The form of the comparison is filled with what was kept.
      stopped = true;
      conflict.querySelector("[data-words]").textContent = told.said;
      conflict.hidden = false;
      conflict.querySelector("button").addEventListener("click", (event) => {
        event.preventDefault();
        const old = document.createElement("form");
        old.method = "post";
        old.action = form.action;
        const fields = [...new URLSearchParams(kept.body), ["csrf", form.elements.csrf.value], ["base", kept.base], ["act", "save"]];
        for (const [name, value] of fields) {
          const input = document.createElement("textarea");
          input.name = name;
          input.value = value;
          old.append(input);
        }
        old.hidden = true;
        document.body.append(old);
        leaving = true;
        old.submit();
      });
    } catch {
      // No connection: the next look tries again.
      stopped = false;
    }
  }

  // ── leaving by a link or a button, with everything saved ────────────────────────────────────────────────────────

  let leaving = false;

  function settled() {
    const all = async () => {
      for (let round = 0; round < 5 && !stopped && !failures && (flying || body() !== confirmed); round += 1) await save();
    };
    return Promise.race([all(), new Promise((done) => setTimeout(done, 4000))]);
  }

  document.addEventListener("click", (event) => {
    const anchor = event.target.closest("a[href]");
    if (!anchor || anchor.target || event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented) return;
    if (anchor.getAttribute("href").startsWith("#") || body() === confirmed) return;
    event.preventDefault();
    settled().then(() => window.location.assign(anchor.href));
  });

  form.addEventListener("submit", (event) => {
    const act = event.submitter?.value || "save";
    if (leaving) return;
    const [verb, ...rest] = act.split(" ");
    if (verb === "save" && !stopped) {
      event.preventDefault();
      failures = 0;
      save();
      return;
    }
    if (["up", "down", "remove", "add"].includes(verb)) {
      event.preventDefault();
      inPlace(verb, rest, event.submitter);
      return;
    }
    if (verb === "save") {
      // A conflict: the server shows both.
      leaving = true;
      return;
    }
    event.preventDefault();
    // In a task of its own: a form that is being submitted ignores another request to submit it.
    settled().then(() =>
      setTimeout(() => {
        leaving = true;
        form.requestSubmit(event.submitter);
      }),
    );
  });

  // ── blocks in place ─────────────────────────────────────────────────────────────────────────────────────────────

  let fresh = 0;
  const blockOf = (name) => document.getElementById(`block-${name}`);

  function made(kind, list) {
    let name;
    do name = `n${fresh++}`; while (blockOf(name));
    const holder = document.createElement("template");
    holder.innerHTML = form.ownerDocument.querySelector(`[data-pattern="${kind}"]`).innerHTML.replaceAll("zzkeyzz", name);
    const block = holder.content.firstElementChild;
    if (list.dataset.parent) {
      block.querySelector("[name=block]").value = `${name} ${kind} ${list.dataset.parent} ${list.dataset.side}`;
      for (const button of block.querySelectorAll('.adding button[value^="add columns"]')) button.remove();
    }
    dress(block);
    return block;
  }

  function inPlace(verb, rest, button) {
    said.replaceChildren();
    if (verb === "add") {
      const [kind, where, name, side] = rest;
      let list = form.querySelector(".blocks.top");
      let before = null;
      if (where === "after") {
        list = blockOf(name).parentElement;
        before = blockOf(name).nextElementSibling;
      } else if (where === "in") {
        list = blockOf(name).querySelector(`.blocks[data-side="${side}"]`);
      }
      const block = made(kind, list);
      list.insertBefore(block, before);
      const menu = button.closest("details.adding");
      if (where) menu.open = false;
      (block.querySelector("input:not([type=hidden]):not([type=file]), textarea") || block).focus();
      said.textContent = words.added;
      changed();
      return;
    }
    const block = blockOf(rest[0]);
    const list = block.parentElement;
    if (verb === "remove") {
      const after = block.nextElementSibling;
      const next = after || block.previousElementSibling;
      block.remove();
      (next?.querySelector(".block-acts button") || form.querySelector(":scope > .adding summary")).focus();
      const undo = document.createElement("button");
      undo.type = "button";
      undo.className = "quiet small";
      undo.textContent = words.undo;
      undo.addEventListener("click", () => {
        list.insertBefore(block, after?.parentElement === list ? after : null);
        said.replaceChildren();
        (block.querySelector("input:not([type=hidden]), textarea") || block).focus();
        changed();
      });
      said.append(words.removed, " ", undo);
      changed();
      return;
    }
    if (verb === "up" && block.previousElementSibling) list.insertBefore(block, block.previousElementSibling);
    if (verb === "down" && block.nextElementSibling) list.insertBefore(block.nextElementSibling, block);
    button.focus();
    block.scrollIntoView({ block: "nearest" });
    const all = [...list.children];
    said.textContent = words.moved.replace("NUMBER", all.indexOf(block) + 1).replace("ALL", all.length);
    changed();
  }

  function problems(found) {
    const box = document.getElementById("problems");
    const list = box.querySelector("ul");
    box.hidden = !found.length;
    list.replaceChildren(
      ...found.map((each) => {
        const item = document.createElement("li");
        if (each.key) {
          const link = document.createElement("a");
          link.href = `#block-${each.key}`;
          link.textContent = each.words;
          item.append(link);
        } else {
          item.textContent = each.words;
        }
        return item;
      }),
    );
  }

  // ── the tools of text ───────────────────────────────────────────────────────────────────────────────────────────

  function insert(area, text, from, to) {
    area.focus();
    area.setSelectionRange(from, to);
    // Goes into the field's own history, so that Ctrl+Z undoes it.
    if (!document.execCommand("insertText", false, text)) {
      area.setRangeText(text, from, to, "end");
      area.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }

  function wrap(area, mark) {
    const { selectionStart: from, selectionEnd: to, value } = area;
    const chosen = value.slice(from, to);
    const inner = chosen.trim();
    if (inner.startsWith(mark) && inner.endsWith(mark) && inner.length > 2 * mark.length) {
      insert(area, chosen.replace(inner, inner.slice(mark.length, -mark.length)), from, to);
      return;
    }
    insert(area, chosen.replace(inner, () => mark + inner + mark) || mark + mark, from, to);
    if (!inner) area.setSelectionRange(from + mark.length, from + mark.length);
  }

  function ask(dialog, area, fill, use) {
    const { selectionStart: from, selectionEnd: to } = area;
    fill(area.value.slice(from, to));
    dialog.returnValue = "";
    dialog.addEventListener(
      "close",
      () => {
        area.focus();
        area.setSelectionRange(from, to);
        if (dialog.returnValue === "insert") insert(area, use(), from, to);
      },
      { once: true },
    );
    dialog.showModal();
  }

  function tool(name, area) {
    if (name === "bold") wrap(area, "**");
    if (name === "italic") wrap(area, "*");
    if (name === "link") {
      const [label, address] = [document.getElementById("link-words"), document.getElementById("link-address")];
      ask(
        document.getElementById("link-dialog"),
        area,
        (chosen) => {
          label.value = chosen.trim();
          address.value = "";
          document.querySelector("[data-put=link-address]").textContent = "";
        },
        () => {
          whole(address);
          return `[${(label.value || address.value).replaceAll("]", "\\]")}](${address.value.trim().replaceAll(" ", "%20")})`;
        },
      );
    }
    if (name === "name") {
      const fallback = document.getElementById("name-fallback");
      ask(
        document.getElementById("name-dialog"),
        area,
        () => {
          fallback.value = "";
        },
        () => (fallback.value.trim() ? `{name|${fallback.value.trim().replace(/[{}|<>&]/g, "")}}` : "{name}"),
      );
    }
  }

  // Somebody who types www.example.fi, or an address of a mailbox, means a link; it gets what it lacks, and is told so.
  function whole(input) {
    const typed = input.value.trim();
    let start = "";
    if (/^[^\s@:/?#]+@[^\s@:/?#]+\.[^\s@:/?#]+$/.test(typed)) start = "mailto:";
    else if (/^([\p{L}\p{N}-]+\.)+\p{L}{2,}(:\d+)?([/?#]\S*)?$/u.test(typed)) start = "https://";
    document.querySelector(`[data-put="${input.id}"]`).textContent = start ? words.put.replace("START", start) : "";
    if (start) input.value = start + typed;
  }

  document.querySelector("main").addEventListener("change", (event) => {
    if (!event.target.matches("[inputmode=url]")) return;
    whole(event.target);
    changed();
  });

  // ── images ──────────────────────────────────────────────────────────────────────────────────────────────────────

  async function upload(name, file) {
    const block = blockOf(name);
    const refused = block.querySelector("[data-refused]");
    refused.hidden = true;
    const refuse = (text) => {
      refused.textContent = text;
      refused.hidden = false;
    };
    if (file.size > Number(words.most)) {
      refuse(words.large);
      return;
    }
    said.textContent = words.uploading;
    const data = new FormData();
    data.set("file", file);
    data.set("alt", form.elements[`${name}-alt`].value);
    try {
      const answer = await fetch(words.upload, {
        method: "POST",
        body: data,
        headers: { "X-CSRF-Token": form.elements.csrf.value },
        credentials: "same-origin",
      });
      const told = await answer.json();
      if (!answer.ok) {
        refuse(told.said);
        return;
      }
      form.elements[`${name}-image`].value = told.image;
      const alt = form.elements[`${name}-alt`];
      if (!alt.value) alt.value = told.alt;
      const shown = block.querySelector("[data-shown]");
      shown.src = told.address;
      shown.hidden = false;
      block.querySelector("[data-none]").hidden = true;
      changed();
      if (!alt.value) alt.focus();
    } catch {
      refuse(words.failed);
    } finally {
      said.replaceChildren();
    }
  }

  // ── what is added to blocks when there are scripts ──────────────────────────────────────────────────────────────

  function dress(root) {
    for (const bar of root.querySelectorAll("[data-tools]")) {
      bar.hidden = false;
      const area = () => document.getElementById(bar.dataset.tools);
      for (const button of bar.querySelectorAll("[data-tool]")) {
        button.addEventListener("click", () => tool(button.dataset.tool, area()));
      }
    }
    for (const area of root.querySelectorAll("textarea")) {
      area.addEventListener("keydown", (event) => {
        const name = { b: "bold", i: "italic", k: "link" }[event.key];
        if (!name || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
        event.preventDefault();
        tool(name, area);
      });
    }
    for (const zone of root.querySelectorAll("[data-drop]")) {
      const input = zone.querySelector("input[type=file]");
      zone.querySelector("[data-upload]").hidden = false;
      input.addEventListener("change", () => {
        if (input.files[0]) upload(zone.dataset.drop, input.files[0]);
        input.value = "";
      });
      zone.addEventListener("dragover", (event) => {
        event.preventDefault();
        zone.classList.add("over");
      });
      zone.addEventListener("dragleave", () => zone.classList.remove("over"));
      zone.addEventListener("drop", (event) => {
        event.preventDefault();
        zone.classList.remove("over");
        const file = event.dataTransfer.files[0];
        if (file) upload(zone.dataset.drop, file);
      });
    }
  }
  dress(document.querySelector("main"));
  // Menus of kinds close by Escape and by a press beside them.
  const menus = () => document.querySelectorAll(".block-acts details.adding[open]");
  document.addEventListener("click", (event) => {
    for (const menu of menus()) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of menus()) {
      const within = menu.contains(document.activeElement);
      menu.open = false;
      if (within) menu.querySelector("summary").focus();
    }
  });
  // A file that is dropped beside an image would replace the page.
  for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());

  // Subject and preview line as a mailbox shows them: with the sample's name, or without one.
  function inMailbox() {
    const name = address.searchParams.get("name") === "without" ? "" : document.getElementById("inbox").dataset.sample;
    for (const line of document.querySelectorAll("[data-shows]")) {
      const typed = document.getElementById(line.dataset.shows).value;
      const read = typed.replace(/(?<![{\\])\{\s*name\s*(?:\|([^{}]*))?\}(?!\})/g, (_, other) => name || (other || "").trim());
      line.textContent = read || (line.dataset.shows === "subject" ? "–" : "");
    }
  }

  for (const input of form.querySelectorAll("[data-counted]")) {
    const hint = document.getElementById(`${input.id}-count`);
    input.addEventListener("input", () => {
      hint.textContent = hint.textContent.replace(/\d+/, [...input.value].length);
      inMailbox();
    });
  }

  // ── the preview ─────────────────────────────────────────────────────────────────────────────────────────────────

  const screen = document.getElementById("screen");
  let frame = screen.querySelector("iframe");
  const address = new URL(frame.src);
  let coming = null;

  function writtenAt() {
    const block = document.activeElement?.closest?.(".blocks.top > .block");
    return block ? [...block.parentElement.children].indexOf(block) : -1;
  }

  // A second frame loads out of sight and takes the place of the first, so that nothing flickers.
  function refresh() {
    const at = writtenAt();
    if (at >= 0) {
      address.searchParams.set("at", at);
      address.hash = at > 0 ? "here" : "";
    }
    coming?.remove();
    const next = frame.cloneNode();
    coming = next;
    next.classList.add("coming");
    next.setAttribute("aria-hidden", "true");
    next.tabIndex = -1;
    next.addEventListener("load", () => {
      if (coming !== next) return;
      frame.remove();
      next.classList.remove("coming");
      next.removeAttribute("aria-hidden");
      next.removeAttribute("tabindex");
      frame = next;
      coming = null;
    });
    next.src = address.href;
    screen.append(next);
  }

  // How it is looked at stays so when the page is opened anew, or at another language version.
  function remember(what, value) {
    address.searchParams.set(what, value);
    for (const link of document.querySelectorAll(".versions nav a")) {
      const other = new URL(link.href);
      other.searchParams.set(what, value);
      link.href = other.href;
    }
    const here = new URL(window.location.href);
    here.searchParams.set("language", address.searchParams.get("language"));
    here.searchParams.set(what, value);
    history.replaceState(history.state, "", here);
    refresh();
  }

  for (const link of document.querySelectorAll("[data-view]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      for (const each of document.querySelectorAll("[data-view]")) each.removeAttribute("aria-current");
      link.setAttribute("aria-current", "true");
      screen.className = `screen ${link.dataset.view}`;
      remember("view", link.dataset.view);
    });
  }

  for (const link of document.querySelectorAll("[data-name]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const { name } = link.dataset;
      link.dataset.name = name === "with" ? "without" : "with";
      link.textContent = name === "with" ? link.dataset.without : link.dataset.with;
      remember("name", name);
      inMailbox();
    });
  }

  const earlier = sessionStorage.getItem(KEPT + "said");
  if (earlier) {
    sessionStorage.removeItem(KEPT + "said");
    said.textContent = earlier;
  }
  recover();
})();
