// What Streamlit leaves out in the browser. Home.py runs this on every page; it acts once a visit.

if (!window.gradcam) {
  window.gradcam = { begins: false };

  // A step of the browser's history is one thing that a visitor does. Streamlit puts what a widget says into the link
  // in place of the last, and adds a step for each other word that the server writes there.
  const begin = () => (gradcam.begins = true);
  for (const gesture of ["pointerdown", "keydown", "drop"]) addEventListener(gesture, begin, true);
  addEventListener("change", ({ target }) => target.type === "file" && begin(), true);
  addEventListener("popstate", () => (gradcam.begins = false), true);
  const { pushState, replaceState } = history;
  history.pushState = history.replaceState = (state, title, link) => {
    const changes = link != null && new URL(link, location).href !== location.href;
    (changes && gradcam.begins ? pushState : replaceState).call(history, state, title, link);
    if (changes) gradcam.begins = false;
    follow();
  };

  // Another page of photos, or one that is opened, begins at its top; who closes it is among the others where they were.
  const shown = () => ["page", "opened"].map((name) => new URLSearchParams(location.search).get(name));
  let before = shown(), among = 0;
  const follow = () => {
    const main = document.querySelector("[data-testid=stMain]"), now = shown(), [wasOn, wasOpen] = before;
    before = now;
    if (!main || (wasOn === now[0] && wasOpen === now[1])) return;
    if (now[1] && !wasOpen) among = main.scrollTop;
    scroll(main, wasOpen && !now[1] ? among : 0, performance.now() + 3_000);
  };
  const scroll = (main, top, end) => {  // again while the page is not long enough yet
    main.scrollTop = top;
    const waits = main.scrollTop < top - 1 && performance.now() < end && !gradcam.begins;
    if (waits) requestAnimationFrame(() => scroll(main, top, end));
  };
  addEventListener("popstate", follow);

  // A table is one stop of Tab, with arrow keys within; Streamlit's takes Tab from cell to cell.
  const leaves = (event) => event.key === "Tab" && event.target.closest?.("[data-testid=stDataFrame]");
  addEventListener("keydown", (event) => leaves(event) && event.stopImmediatePropagation(), true);
}
