// Renews the list while the page is in view. Without JavaScript the list page reloads itself (meta refresh).
"use strict";
(() => {
  const list = document.getElementById("list");
  const shown = new URL(list.dataset.fragment, location.href);
  let etag = null;

  async function renew() {
    if (document.hidden) return;
    try {
      const answer = await fetch(shown, { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store" });
      if (answer.status === 200) {
        const fresh = await answer.text();
        const focused = list.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
        list.innerHTML = fresh;
        if (focused) list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
        etag = answer.headers.get("ETag");
      }
      list.classList.toggle("lost", !(answer.ok || answer.status === 304));
    } catch {
      list.classList.add("lost"); // the catcher is stopped: what is shown may be old
    }
  }

  document.addEventListener("visibilitychange", renew);
  setInterval(renew, 1500);

  document.querySelector("form.clear").addEventListener("submit", (event) => {
    if (!confirm("Delete all caught mails?")) event.preventDefault();
  });
})();
