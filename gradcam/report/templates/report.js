
"use strict";
(() => {
  const every = (selector) => [...document.querySelectorAll(selector)];
  const find = (id) => document.getElementById(id);
  const root = document.documentElement;
  find("opacity").closest(".tools").hidden = false;

  const opacity = find("opacity");
  const showOpacity = () => {
    root.style.setProperty("--opacity", opacity.value / 100);
    find("opacity-value").textContent = opacity.value + " %";
  };
  opacity.addEventListener("input", showOpacity);
  showOpacity();

  // Slower than three flashes a second, which can harm.
  let blinking = null;
  find("blink").addEventListener("click", (event) => {
    const on = blinking === null;
    event.currentTarget.setAttribute("aria-pressed", on);
    if (on) {
      blinking = setInterval(() => root.classList.toggle("blinked"), 700);
    } else {
      clearInterval(blinking);
      blinking = null;
      root.classList.remove("blinked");
    }
  });

  // Linked zoom: all pictures of a photo share one viewBox, kept as [left, top, share of the whole].
  const pictures = every("svg[data-photo]");
  const views = new Map();
  for (const picture of pictures) {
    const [, , width, height] = picture.getAttribute("viewBox").split(" ").map(Number);
    views.set(picture.dataset.photo, { x: 0, y: 0, share: 1, width, height });
  }
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const show = (photo) => {
    const view = views.get(photo);
    view.share = clamp(view.share, 1 / 16, 1);
    view.x = clamp(view.x, 0, view.width * (1 - view.share));
    view.y = clamp(view.y, 0, view.height * (1 - view.share));
    const box = [view.x, view.y, view.width * view.share, view.height * view.share].join(" ");
    for (const picture of pictures) {
      if (picture.dataset.photo === photo) picture.setAttribute("viewBox", box);
    }
  };
  const zoom = (photo, factor, u = 0.5, v = 0.5) => {
    const view = views.get(photo);
    const share = clamp(view.share * factor, 1 / 16, 1);
    view.x += u * view.width * (view.share - share);
    view.y += v * view.height * (view.share - share);
    view.share = share;
    show(photo);
  };
  const move = (photo, dx, dy) => {
    const view = views.get(photo);
    view.x += dx * view.width * view.share;
    view.y += dy * view.height * view.share;
    show(photo);
  };
  const zoomAll = (factor) => { for (const photo of views.keys()) zoom(photo, factor); };
  find("nearer").addEventListener("click", () => zoomAll(1 / 1.5));
  find("farther").addEventListener("click", () => zoomAll(1.5));
  find("whole").addEventListener("click", () => zoomAll(16));

  const keys = {
    "+": (photo) => zoom(photo, 1 / 1.5), "=": (photo) => zoom(photo, 1 / 1.5), "-": (photo) => zoom(photo, 1.5),
    "0": (photo) => zoom(photo, 16),
    ArrowLeft: (photo) => move(photo, -0.1, 0), ArrowRight: (photo) => move(photo, 0.1, 0),
    ArrowUp: (photo) => move(photo, 0, -0.1), ArrowDown: (photo) => move(photo, 0, 0.1),
  };
  for (const picture of every("svg.overlay")) {
    const photo = picture.dataset.photo;
    picture.tabIndex = 0;
    picture.addEventListener("keydown", (event) => {
      const act = keys[event.key];
      if (!act || (event.key.startsWith("Arrow") && views.get(photo).share === 1)) return;
      event.preventDefault();
      act(photo);
    });
    picture.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const box = picture.getBoundingClientRect();
      const u = (event.clientX - box.left) / box.width, v = (event.clientY - box.top) / box.height;
      zoom(photo, Math.exp(event.deltaY * 0.004), u, v);
    }, { passive: false });
    picture.addEventListener("pointermove", (event) => {
      if (event.buttons !== 1 || views.get(photo).share === 1) return;
      picture.setPointerCapture(event.pointerId);
      const box = picture.getBoundingClientRect();
      move(photo, -event.movementX / box.width, -event.movementY / box.height);
    });
  }

  for (const button of every("button.full")) {
    button.hidden = !document.fullscreenEnabled;
    button.addEventListener("click", () => {
      const card = button.closest(".card");
      if (document.fullscreenElement) document.exitFullscreen(); else card.requestFullscreen();
    });
  }
})();
