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
  const shown = () => {
    const link = new URLSearchParams(location.search);
    return [`${location.pathname} ${link.get("run")}`, link.get("page"), link.get("opened")];
  };
  const among = {};  // by run
  let before = shown(), until = 0;
  const follow = () => {
    const main = document.querySelector("[data-testid=stMain]");
    const [place, on, open] = shown(), [wasAt, wasOn, wasOpen] = before;
    const page = wasAt === place && (open || wasOpen) ? wasOn : on;  // Streamlit leaves it out until all are shown again
    before = [place, page, open];
    if (!main || wasAt !== place || (wasOn === page && wasOpen === open)) return;
    if (open && !wasOpen) among[place] = main.scrollTop;
    until = performance.now() + 10_000;
    scroll(main, wasOpen && !open ? among[place] ?? 0 : 0);
    if (wasOn !== page) tell(main, page ?? 1);
  };
  const heard = document.createElement("div");  // by whoever cannot see that the page is another one
  heard.setAttribute("role", "status");
  heard.style.cssText = "position: fixed; top: 0; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden";
  document.body.append(heard);
  const tell = (main, page) => {
    heard.textContent = `Page ${page}`;
    if (document.activeElement?.closest("[class*=st-key-_page-]")) main.focus({ preventScroll: true });
  };
  const scroll = (main, top) => {  // again while the page is not long enough yet, unless the visitor does something
    main.scrollTop = top;
    if (main.scrollTop < top - 1 && performance.now() < until) requestAnimationFrame(() => scroll(main, top));
  };
  const stay = () => (until = 0);
  for (const gesture of ["wheel", "touchmove", "pointerdown", "keydown"]) addEventListener(gesture, stay, { passive: true });
  addEventListener("popstate", follow);
  addEventListener("click", ({ target }) => {  // the next photos, asked for below the last ones
    const main = target.closest?.("[class*=st-key-_next_photos]")?.closest("[data-testid=stMain]");
    if (main) main.scrollTop = 0;
  });

  // A table is one stop of Tab, with arrow keys within; Streamlit's takes Tab from cell to cell.
  const leaves = (event) => event.key === "Tab" && event.target.closest?.("[data-testid=stDataFrame]");
  addEventListener("keydown", (event) => leaves(event) && event.stopImmediatePropagation(), true);

  // A table that is wider than its place is a stop of Tab, so that arrow keys can move it.
  const reach = () => {
    for (const table of document.querySelectorAll("[data-testid=stTable] table")) {
      const place = table.parentElement;
      if (place.scrollWidth > place.clientWidth) place.tabIndex = 0;
      else place.removeAttribute("tabindex");
    }
  };
  new MutationObserver(reach).observe(document.body, { childList: true, subtree: true });
  addEventListener("resize", reach);
}
