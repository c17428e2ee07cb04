// The browser's side of PictureUpload (upload.py): plain elements with labels, for keyboards and screen readers.

// Far below Jupyter's limit for a websocket message, 10 MiB.
const CHUNK = 2 * 1024 * 1024;
const SAMPLE = "application/x-pdk-sample";

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// Set up the panel around this view: JupyterLab must not treat its keys as notebook shortcuts, and screen readers
// announce changes.
function preparePanel(el) {
  const panel = el.closest(".pdk-panel") ?? el;
  panel.setAttribute("data-lm-suppress-shortcuts", "true");
  panel.setAttribute("role", "region");
  panel.setAttribute("aria-label", "Prediction panel");
  const status = panel.querySelector(".pdk-status");
  status?.setAttribute("role", "status");
  status?.setAttribute("aria-live", "polite");
}

function whenAttached(el, action) {
  if (el.isConnected) return action();
  const observer = new MutationObserver(() => {
    if (!el.isConnected) return;
    observer.disconnect();
    action();
  });
  observer.observe(document.body, { childList: true, subtree: true });
  return () => observer.disconnect();
}

class Transfer {
  constructor(model, progress, note) {
    Object.assign(this, { model, progress, note, key: null, files: [] });
  }

  begin(files) {
    this.files = [...files];
    if (!this.files.length) return;
    this.key = `${Date.now()}-${Math.random()}`;
    const described = this.files.map(({ name, size, type }) => ({ name, size, type }));
    this.model.send({ kind: "begin", key: this.key, files: described });
  }

  async answer(message) {
    if (message.key !== this.key) return;
    if (message.kind === "done") {
      this.key = null;
      this.progress.hidden = true;
      this.note.textContent = "";
      return;
    }
    const file = this.files[message.place];
    const end = Math.min(file.size, message.offset + CHUNK);
    this.progress.hidden = file.size <= CHUNK;
    this.progress.value = end / file.size;
    if (file.size > CHUNK) {
      const megabytes = (bytes) => (bytes / 1048576).toFixed(0);
      this.note.textContent = `Sending ${file.name}: ${megabytes(end)} of ${megabytes(file.size)} MB`;
    }
    let chunk;
    try {
      chunk = await file.slice(message.offset, end).arrayBuffer();
    } catch {
      // An empty chunk makes the kernel report that the file changed.
      chunk = new ArrayBuffer(0);
    }
    this.model.send({ kind: "chunk", key: message.key }, undefined, [chunk]);
  }
}

function camera(take, note) {
  const video = make("video", { muted: true, playsinline: true, "aria-label": "Camera preview" });
  video.muted = true;
  let stream = null;
  const close = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    box.hidden = true;
  };
  const shoot = () => {
    const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => {
      const name = `camera-${new Date().toTimeString().slice(0, 8).replaceAll(":", "")}.jpg`;
      take([new File([blob], name, { type: "image/jpeg" })]);
    }, "image/jpeg", 0.92);
    close();
    opener.focus();
  };
  const shutter = make("button", { type: "button", class: "pdk-button pdk-primary pdk-shutter", onclick: shoot }, "Take the picture");
  const closer = make("button", { type: "button", class: "pdk-button", onclick: () => { close(); opener.focus(); } }, "Close the camera");
  const box = make("div", { class: "pdk-camera", hidden: true }, video, make("div", { class: "pdk-row" }, shutter, closer));
  const open = async () => {
    note.textContent = "";
    if (!navigator.mediaDevices?.getUserMedia) {
      note.textContent = "This browser allows the camera only on https and localhost pages. Take a picture with another program and upload it.";
      return;
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.srcObject = stream;
      await video.play();
      box.hidden = false;
      shutter.focus();
    } catch (error) {
      close();
      note.textContent = error.name === "NotAllowedError"
        ? "The browser blocks the camera. Allow it in the address bar, or upload a picture."
        : "No camera was found. Upload a picture instead.";
    }
  };
  const opener = make("button", { type: "button", class: "pdk-button pdk-camera-open", onclick: open }, "Use the camera");
  return { opener, box, close };
}

function render({ model, el }) {
  const progress = make("progress", { max: 1, value: 0, hidden: true, "aria-label": "Upload" });
  const note = make("p", { class: "pdk-note", role: "status", "aria-live": "polite" });
  const transfer = new Transfer(model, progress, note);
  const WAIT = "One moment: the service is still working on the last pictures.";
  const free = () => {
    if (model.get("busy")) note.textContent = WAIT;
    return !model.get("busy");
  };
  const take = (files) => { if (free()) transfer.begin(files); };
  const sample = (names) => { if (free()) model.send({ kind: "samples", names }); };

  const input = make("input", { type: "file", accept: "image/*", multiple: true, hidden: true, tabindex: "-1" });
  input.addEventListener("change", () => { take(input.files); input.value = ""; });
  const choose = make("button", { type: "button", class: "pdk-button pdk-primary pdk-choose", onclick: () => input.click() }, "Upload pictures");
  const photo = camera(take, note);
  // Focusable by a click, so that a paste reaches the panel.
  const drop = make("div", { class: "pdk-drop", tabindex: "-1" },
    make("div", { class: "pdk-row" }, choose, photo.opener, input,
      make("span", { class: "pdk-hint" }, `or drop or paste them here. JPEG, PNG, WebP, and others, up to ${model.get("limit_mb")} MB each.`)),
    photo.box);
  const over = (on) => (event) => {
    event.preventDefault();
    event.stopPropagation();
    drop.classList.toggle("pdk-over", on);
  };
  drop.addEventListener("dragover", over(true));
  drop.addEventListener("dragleave", over(false));
  drop.addEventListener("drop", (event) => {
    over(false)(event);
    const name = event.dataTransfer.getData(SAMPLE);
    if (name) sample([name]);
    else take(event.dataTransfer.files);
  });

  // Pictures from the clipboard, wherever in the panel the focus is; text still goes into the address field.
  const paste = (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter(({ type }) => type.startsWith("image/"));
    if (!files.length || !root.isConnected || !(el.closest(".pdk-panel") ?? el).contains(document.activeElement)) return;
    event.preventDefault();
    event.stopPropagation();
    take(files);
  };
  document.addEventListener("paste", paste, true);

  const address = make("input", { type: "url", class: "pdk-address", placeholder: "https://example.org/cat.jpg", spellcheck: "false" });
  const fetchForm = make("form", { class: "pdk-row pdk-fetch", novalidate: true },
    make("label", {}, make("span", {}, "Address of a picture"), address),
    make("button", { type: "submit", class: "pdk-button" }, "Fetch"));
  fetchForm.addEventListener("submit", (event) => {
    event.preventDefault();
    if (address.value.trim() && free()) model.send({ kind: "address", address: address.value });
  });

  const gallery = make("fieldset", { class: "pdk-gallery" });
  const fill = () => {
    const entries = model.get("gallery");
    gallery.hidden = !entries.length;
    const buttons = entries.map(({ name, picture }) => make("button",
      { type: "button", class: "pdk-sample", draggable: "true", title: name, onclick: () => sample([name]),
        ondragstart: (event) => { event.dataTransfer.setData(SAMPLE, name); event.dataTransfer.effectAllowed = "copy"; } },
      make("img", { src: picture, alt: "", draggable: "false" }), make("span", {}, name)));
    const all = make("button", { type: "button", class: "pdk-button pdk-all", onclick: () => sample(entries.map(({ name }) => name)) },
      `All ${entries.length} samples`);
    gallery.replaceChildren(make("legend", {}, "Or select a sample picture"),
      make("div", { class: "pdk-row" }, ...buttons, ...(entries.length > 1 ? [all] : [])));
  };
  fill();

  const root = make("div", { class: "pdk-view pdk-upload" }, drop, fetchForm, gallery, progress, note);
  const showBusy = () => {
    root.setAttribute("aria-busy", String(model.get("busy")));
    if (!model.get("busy") && note.textContent === WAIT) note.textContent = "";
  };
  showBusy();
  el.append(root);

  const answer = (message) => { transfer.answer(message); };
  model.on("msg:custom", answer);
  model.on("change:busy", showBusy);
  model.on("change:gallery", fill);
  const stopWaiting = whenAttached(el, () => preparePanel(el));
  return () => {
    photo.close();
    document.removeEventListener("paste", paste, true);
    stopWaiting?.();
    model.off("msg:custom", answer);
    model.off("change:busy", showBusy);
    model.off("change:gallery", fill);
  };
}

export default { render };
