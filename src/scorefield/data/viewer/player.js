// Plays the frames of all panels together. The viewer's code is unpacked once the page stands, from the page itself.
(() => {
  const root = document.getElementById("player");
  const find = (selector) => root.querySelector(selector);
  const data = JSON.parse(find(".frames").textContent);
  const [play, slider, reset, ghost] = [".play", "input[type=range]", ".reset", ".ghost"].map(find);
  const PERIOD = 100; // ms a frame
  const CLOSER = 1.35; // than the library's own choice, which leaves wide margins
  let timer = null;

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

  async function library() {
    const packed = new Blob([bytes(find(".library").textContent)]);
    const text = await new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).text();
    const script = document.createElement("script");
    script.textContent = text;
    document.head.append(script);
    return window.$3Dmol;
  }

  // Frames as lists of atoms, with the bonds of the beads and no others.
  function frames(movie) {
    const x = new Int16Array(bytes(movie.positions).buffer);
    const neighbours = data.beads.map(() => []);
    for (const [i, j] of data.bonds) {
      neighbours[i].push(j);
      neighbours[j].push(i);
    }
    return Array.from({ length: movie.frames }, (_, f) =>
      data.beads.map((bead, i) => {
        const [a, b, c] = [0, 1, 2].map((k) => x[3 * (f * data.beads.length + i) + k] * data.angstrom);
        const order = neighbours[i].map(() => 1);
        const elem = bead.atom[0] === "N" ? "N" : "C";
        const known = { serial: i, index: i, chain: "A", hetflag: false, elem, ...bead };
        return { ...known, x: a, y: b, z: c, bonds: [...neighbours[i]], bondOrder: order };
      }),
    );
  }

  // From blue at the first bead to red at the last, as is usual for chains.
  const along = (atom) => `hsl(${240 - (240 * atom.serial) / Math.max(1, data.beads.length - 1)},70%,48%)`;
  const element = (atom) => (atom.elem === "N" ? "#2f5fd0" : atom.atom === "CA" ? "#e0862e" : "#7d858d");
  const radius = data.trace ? 0.55 : 0.16;
  const colour = data.trace ? along : element;
  const solid = { stick: { radius, colorfunc: colour }, sphere: { radius: data.trace ? radius : 0.32, colorfunc: colour } };
  const grey = { stick: { radius: 0.5 * radius, color: "#9aa3ab", opacity: 0.55 } };

  function panel(element) {
    letScroll(element);
    const name = element.dataset.of;
    const viewer = $3Dmol.createViewer(element, { backgroundAlpha: 0, antialias: true });
    const all = frames(data.movies[name]);
    const model = viewer.addModel();
    for (const atoms of all) model.addFrame(atoms);
    model.setFrame(0);
    model.setStyle({}, solid);
    let shadow = null;
    if (data.movies.native && name !== "native") {
      shadow = viewer.addModel();
      shadow.addAtoms(frames(data.movies.native)[0]);
      shadow.setStyle({}, grey);
    }
    return { name, viewer, model, shadow, count: all.length, now: element.parentElement.querySelector(".now") };
  }

  // A reader who scrolls the page over a panel must not be held there: turning is sideways, zooming with Ctrl or two fingers.
  function letScroll(element) {
    let origin = null;
    let vertical = null;
    const pass = (event) => event.stopImmediatePropagation();
    element.addEventListener("wheel", (event) => event.ctrlKey || pass(event), { capture: true });
    element.addEventListener("touchstart", ({ touches: [t] }) => ([origin, vertical] = [t, null]), { capture: true });
    const moved = (event) => {
      const [t] = event.touches;
      vertical ??= event.touches.length === 1 && Math.abs(t.pageY - origin.pageY) > Math.abs(t.pageX - origin.pageX);
      if (vertical) pass(event);
    };
    element.addEventListener("touchmove", moved, { capture: true });
  }

  function words(name, k) {
    const movie = data.movies[name];
    if (name === "native") return "";
    const of = movie.interval === null ? `frame ${k + 1}` : time(k * movie.interval, movie.frames * movie.interval);
    return movie.rmsd ? `${of}, RMSD ${movie.rmsd[k].toFixed(1)} Å` : of;
  }

  function time(ps, longest) {
    const [unit, size] = longest >= 1e6 ? ["µs", 1e6] : longest >= 1e3 ? ["ns", 1e3] : ["ps", 1];
    return `${(ps / size).toFixed(longest / size >= 100 ? 0 : longest / size >= 10 ? 1 : 2)} ${unit}`;
  }

  function show(panels, k) {
    for (const { name, viewer, model, count, now } of panels) {
      const frame = count === 1 ? 0 : k % count;
      if (count > 1) {
        model.setFrame(frame);
        viewer.render();
      }
      now.textContent = words(name, frame);
    }
    slider.value = k;
    root.dataset.frame = k;
  }

  // The same view on every panel, wide enough for the largest.
  function frameAll(panels) {
    for (const { viewer } of panels) viewer.zoomTo();
    const widest = panels.map(({ viewer }) => viewer.getView()).reduce((a, b) => (a[3] < b[3] ? a : b));
    for (const { viewer } of panels) {
      viewer.setView(widest);
      viewer.zoom(CLOSER);
      viewer.render();
    }
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶ Play";
  }

  function start(panels, total) {
    timer = setInterval(() => show(panels, (Number(slider.value) + 1) % total), PERIOD);
    play.textContent = "❚❚ Pause";
  }

  async function begin() {
    await library();
    const panels = [...root.querySelectorAll(".view")].map(panel);
    for (const a of panels) for (const b of panels) if (a !== b) a.viewer.linkViewer(b.viewer);
    frameAll(panels);
    const total = Math.max(...panels.map(({ count }) => count));
    slider.max = total - 1;
    slider.addEventListener("input", () => (stop(), show(panels, Number(slider.value))));
    play.addEventListener("click", () => (timer === null ? start(panels, total) : stop()));
    reset.addEventListener("click", () => frameAll(panels));
    ghost.addEventListener("change", () => {
      for (const { viewer, shadow } of panels) {
        if (shadow) ghost.checked ? shadow.show() : shadow.hide();
        viewer.render();
      }
    });
    new ResizeObserver(() => panels.forEach(({ viewer }) => viewer.resize())).observe(root);
    show(panels, 0);
    for (const control of [play, slider, reset]) control.disabled = false;
    root.dataset.state = "ready";
  }

  const fail = (error) => {
    root.dataset.state = "failed";
    for (const view of root.querySelectorAll(".view")) view.replaceChildren();
    find(".panels").insertAdjacentText("afterend", `Structures cannot be shown by this browser (${error.message}).`);
  };
  const soon = window.requestIdleCallback ?? ((f) => setTimeout(f, 50));
  addEventListener("load", () => soon(() => begin().catch(fail)));
})();
