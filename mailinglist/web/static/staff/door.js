// Passkeys (WebAuthn). A form with data-passkey fetches what the browser is to be asked for, and is sent with the answer in its
// hidden field `passkey`. Without this file, or in a browser that knows no passkeys, such forms stay hidden: codes do.
"use strict";

(() => {
  if (!window.PublicKeyCredential || !navigator.credentials) return;

  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  const letters = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const listed = (list) => (list || []).map((each) => ({ ...each, id: bytes(each.id) }));

  async function optionsFor(form) {
    const answer = await fetch(form.dataset.options, {
      method: "POST",
      headers: { "X-CSRF-Token": form.elements.csrf.value },
      credentials: "same-origin",
    });
    const elsewhere = answer.headers.get("HX-Redirect");
    if (elsewhere) {
      window.location.assign(elsewhere);
      return null;
    }
    if (!answer.ok) throw new Error(`options: ${answer.status}`);
    return answer.json();
  }

  async function assertion(options) {
    const got = await navigator.credentials.get({
      publicKey: { ...options, challenge: bytes(options.challenge), allowCredentials: listed(options.allowCredentials) },
    });
    const { clientDataJSON, authenticatorData, signature, userHandle } = got.response;
    return {
      id: got.id, rawId: letters(got.rawId), type: got.type, clientExtensionResults: got.getClientExtensionResults(),
      response: {
        clientDataJSON: letters(clientDataJSON), authenticatorData: letters(authenticatorData),
        signature: letters(signature), userHandle: userHandle ? letters(userHandle) : null,
      },
    };
  }

  async function attestation(options) {
    const made = await navigator.credentials.create({
      publicKey: {
        ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) },
        excludeCredentials: listed(options.excludeCredentials),
      },
    });
    const { clientDataJSON, attestationObject } = made.response;
    return {
      id: made.id, rawId: letters(made.rawId), type: made.type, clientExtensionResults: made.getClientExtensionResults(),
      response: {
        clientDataJSON: letters(clientDataJSON), attestationObject: letters(attestationObject),
        transports: made.response.getTransports ? made.response.getTransports() : [],
      },
    };
  }

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const button = form.querySelector("[data-by-passkey]");
    const trouble = form.querySelector("[data-trouble]");
    form.hidden = false;
    form.closest("[data-needs-passkeys]")?.removeAttribute("hidden");
    if (button) button.hidden = false;
    form.addEventListener("submit", async (event) => {
      if (button && event.submitter !== button) return;
      if (form.elements.passkey.value) return;
      event.preventDefault();
      if (trouble) trouble.hidden = true;
      try {
        const asked = await optionsFor(form);
        if (!asked) return;
        let answer;
        if (form.dataset.passkey === "create") {
          answer = await attestation(asked.options);
          form.elements.sealed.value = asked.sealed;
        } else {
          answer = await assertion(asked);
        }
        form.elements.passkey.value = JSON.stringify(answer);
        form.submit();
      } catch (error) {
        if (trouble) trouble.hidden = false;
      }
    });
  }
})();
