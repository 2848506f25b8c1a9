/* The sign-up form's proof of work. ALTCHA's own worker (altcha/pbkdf2.js) does it while the visitor types the address.
   Whatever fails here, the form is sent all the same: without the proof the request takes the slower lane. */
"use strict";
(() => {
  const form = document.querySelector("form[data-challenge]");
  if (!form || !window.Worker || !window.crypto || !crypto.subtle) return;

  const challenge = JSON.parse(form.dataset.challenge);
  const field = form.elements.namedItem("altcha");
  const note = document.getElementById("proof-note");
  const button = form.querySelector("button[type=submit]");
  const patience = 20000; // ms; a slow device is not kept waiting longer than that
  let work = null;

  function solve() {
    const step = Math.max(1, Math.min(4, (navigator.hardwareConcurrency || 2) - 1));
    const workers = Array.from({ length: step }, () => new Worker(form.dataset.worker));
    const first = new Promise((resolve) => {
      workers.forEach((worker, start) => {
        worker.onerror = () => resolve(null);
        worker.onmessage = ({ data }) => resolve(data && data.derivedKey ? data : null);
        worker.postMessage({ type: "work", challenge, counterStart: start, counterStep: step, timeout: patience });
      });
    });
    return first.then((solution) => {
      workers.forEach((worker) => worker.terminate());
      if (solution) field.value = btoa(JSON.stringify({ challenge, solution }));
      field.dataset.settled = "yes";
    });
  }

  const begin = () => { work = work || solve().catch(() => { field.dataset.settled = "yes"; }); return work; };

  form.addEventListener("focusin", begin, { once: true });
  form.addEventListener("submit", (event) => {
    if (field.dataset.settled) return;
    event.preventDefault();
    button.disabled = true;
    note.hidden = false;
    begin().then(() => form.submit());
  });
  // Back from the next page: the proof has been used up, so a fresh form is needed.
  window.addEventListener("pageshow", (event) => { if (event.persisted) window.location.reload(); });
})();
