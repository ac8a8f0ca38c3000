
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

  // The bare photo, for as long as something is held.
  const hold = find("hold");
  const bare = (on) => {
    root.classList.toggle("bare", on);
    hold.setAttribute("aria-pressed", on);
  };
  hold.addEventListener("pointerdown", (event) => {
    hold.setPointerCapture(event.pointerId);
    bare(true);
  });
  hold.addEventListener("keydown", (event) => {
    if (![" ", "Enter"].includes(event.key)) return; // every other key does what it does elsewhere: Tab, too
    event.preventDefault();
    bare(true);
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture", "blur", "keyup"]) {
    hold.addEventListener(name, () => bare(false));
  }

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
      if (picture.dataset.photo !== photo) continue;
      picture.setAttribute("viewBox", box);
      picture.parentElement.classList.toggle("zoomed", view.share < 1);
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
  const zoomTo = (photo, [u, v], [right, foot]) => {
    const view = views.get(photo);
    const share = Math.max(Math.abs(right - u), Math.abs(foot - v));
    view.x += view.width * view.share * ((u + right) / 2 - share / 2);
    view.y += view.height * view.share * ((v + foot) / 2 - share / 2);
    view.share *= share;
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
    " ": () => bare(true),
  };
  /** Where in a picture a pointer is, as shares of its width and height. */
  const shareOf = (picture, { clientX, clientY }) => {
    const box = picture.getBoundingClientRect();
    return [clamp((clientX - box.left) / box.width, 0, 1), clamp((clientY - box.top) / box.height, 0, 1)];
  };

  /** A drag draws the box to zoom to, or moves what is zoomed; a still press shows the photo. */
  const listenToDrags = (picture, photo) => {
    const box = document.createElement("div");
    box.className = "box";
    let start = null, timer = null;
    const end = (event) => {
      clearTimeout(timer);
      bare(false);
      if (start && box.isConnected) {
        const [from, to] = [start.share, shareOf(picture, event)];
        if (event.type === "pointerup" && Math.max(Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])) > 0.02) zoomTo(photo, from, to);
      }
      box.remove();
      start = null;
    };
    picture.addEventListener("pointerdown", (event) => {
      if (event.button || !event.isPrimary) return;
      picture.setPointerCapture(event.pointerId);
      start = { share: shareOf(picture, event), x: event.clientX, y: event.clientY, moved: false };
      timer = setTimeout(() => bare(true), 350);
    });
    picture.addEventListener("pointermove", (event) => {
      if (!start || (!start.moved && Math.hypot(event.clientX - start.x, event.clientY - start.y) < 6)) return;
      start.moved = true;
      clearTimeout(timer);
      const size = picture.getBoundingClientRect();
      if (views.get(photo).share < 1) {
        move(photo, -event.movementX / size.width, -event.movementY / size.height);
      } else if (event.pointerType === "mouse") {
        const to = shareOf(picture, event);
        box.style.left = `${100 * Math.min(start.share[0], to[0])}%`;
        box.style.top = `${100 * Math.min(start.share[1], to[1])}%`;
        box.style.width = `${100 * Math.abs(to[0] - start.share[0])}%`;
        box.style.height = `${100 * Math.abs(to[1] - start.share[1])}%`;
        picture.after(box);
      }
    });
    for (const name of ["pointerup", "pointercancel"]) picture.addEventListener(name, end);
  };

  /** Two fingers zoom and move: what is between them stays between them. With one finger the page scrolls. */
  const listenToFingers = (picture, photo) => {
    let before = null;
    const pinch = (event) => {
      const [a, b] = event.touches;
      if (!b) {
        before = null;
        return;
      }
      event.preventDefault();
      const middle = { clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 };
      const now = { share: shareOf(picture, middle), span: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) };
      if (before) {
        zoom(photo, before.span / now.span, ...before.share);
        move(photo, before.share[0] - now.share[0], before.share[1] - now.share[1]);
      }
      before = now;
    };
    for (const name of ["touchstart", "touchmove", "touchend", "touchcancel"]) {
      picture.addEventListener(name, pinch, { passive: false });
    }
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
    picture.addEventListener("keyup", (event) => event.key === " " && bare(false));
    picture.addEventListener("blur", () => bare(false));
    picture.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoom(photo, Math.exp(event.deltaY * 0.004), ...shareOf(picture, event));
    }, { passive: false });
    picture.addEventListener("dblclick", () => zoom(photo, 16));
    listenToDrags(picture, photo);
    listenToFingers(picture, photo);
  }

  for (const button of every("button.full")) {
    button.hidden = !document.fullscreenEnabled;
    button.addEventListener("click", () => {
      const card = button.closest(".card");
      if (document.fullscreenElement) document.exitFullscreen(); else card.requestFullscreen();
    });
  }
})();
