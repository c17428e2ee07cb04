// Sends one dropped or chosen picture to a service, and shows its answer.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const zone = document.querySelector("[data-ask]");
  if (!zone) return;
  const input = zone.querySelector("input[type=file]");
  const said = zone.querySelector("[role=status]");

  async function ask(file) {
    if (!file) return;
    said.textContent = `Asking about ${file.name} …`;
    const address = `${zone.dataset.ask}?name=${encodeURIComponent(file.name)}`;
    try {
      const reply = await fetch(address, { method: "POST", body: file, headers: { "X-Check": zone.dataset.check } });
      said.innerHTML = await reply.text();  // escaped by the console
    } catch (error) {
      said.textContent = `No answer: ${error.message}. Try again.`;
    }
  }

  input.addEventListener("change", () => ask(input.files[0]));
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    ask(event.dataTransfer.files[0]);
  });
});
