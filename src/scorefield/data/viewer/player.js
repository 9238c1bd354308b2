// Plays the frames of all panels together. The viewer's code is unpacked once the page stands, from the page itself.
(() => {
  const root = document.getElementById("player");
  const find = (selector) => root.querySelector(selector);
  const data = JSON.parse(find(".frames").textContent);
  const [play, slider, reset, ghost] = [".play", "input[type=range]", ".reset", ".ghost"].map(find);
  const PERIOD = 100; // ms a frame
  const CLOSER = 1.5; // than the library's own choice, which leaves wide margins
  const SMOOTH = 5;
  const INSIDE = 0.98; // of the beads' distances from the middle
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

  // Positions (Angstrom) of the beads, frame by frame.
  function positions(movie) {
    const x = new Int16Array(bytes(movie.positions).buffer);
    const at = (f, i) => [0, 1, 2].map((k) => x[3 * (f * data.beads.length + i) + k] * data.angstrom);
    return Array.from({ length: movie.frames }, (_, f) => data.beads.map((_, i) => at(f, i)));
  }

  // A smooth line through the beads (Catmull and Rom), with SMOOTH points a bond.
  function smooth(points) {
    const at = (i) => points[Math.min(Math.max(i, 0), points.length - 1)];
    const between = (i, t) =>
      [0, 1, 2].map((k) => {
        const [a, b, c, d] = [at(i - 1)[k], at(i)[k], at(i + 1)[k], at(i + 2)[k]];
        return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
      });
    const line = points.slice(1).flatMap((_, i) => Array.from({ length: SMOOTH }, (_, s) => between(i, s / SMOOTH)));
    return [...line, points[points.length - 1]];
  }

  // Frames as lists of atoms, with the bonds of the beads and no others; of a C-alpha chain its smooth line.
  function frames(movie) {
    const lines = positions(movie).map((points) => (data.trace ? smooth(points) : points));
    const n = lines[0].length;
    const neighbours = Array.from({ length: n }, () => []);
    for (const [i, j] of data.trace ? lines[0].slice(1).map((_, i) => [i, i + 1]) : data.bonds) {
      neighbours[i].push(j);
      neighbours[j].push(i);
    }
    return lines.map((line) =>
      line.map(([x, y, z], i) => {
        const atom = data.trace ? "CA" : data.beads[i].atom;
        const known = { serial: i, index: i, chain: "A", hetflag: false, elem: atom[0] === "N" ? "N" : "C", atom };
        const bonds = [...neighbours[i]];
        return { ...known, along: i / Math.max(1, n - 1), x, y, z, bonds, bondOrder: bonds.map(() => 1) };
      }),
    );
  }

  // From blue at the first bead to red at the last, as is usual for chains.
  const RAINBOW = [0x3056d3, 0x1f9bcf, 0x2bab5f, 0x9fb82a, 0xe8a21f, 0xd63a2f];
  function along(atom) {
    const place = atom.along * (RAINBOW.length - 1);
    const [low, high] = [RAINBOW[Math.floor(place)], RAINBOW[Math.ceil(place)]];
    const mix = (shift) => Math.round(((low >> shift) & 255) * (1 - (place % 1)) + ((high >> shift) & 255) * (place % 1));
    return (mix(16) << 16) | (mix(8) << 8) | mix(0);
  }
  const element = (atom) => (atom.elem === "N" ? 0x2f5fd0 : atom.atom === "CA" ? 0xe0862e : 0x7d858d);
  const radius = data.trace ? 0.55 : 0.16;
  const colour = data.trace ? along : element;
  const solid = { stick: { radius, colorfunc: colour }, sphere: { radius: data.trace ? radius : 0.32, colorfunc: colour } };
  const grey = { stick: { radius: 0.5 * radius, color: 0xb4bbc3 } };

  const reach = Object.values(data.movies).flatMap((movie) => positions(movie).flat().map((x) => Math.hypot(...x)));
  const R = reach.sort((a, b) => a - b)[Math.floor(INSIDE * (reach.length - 1))] + 2 * radius;
  const corners = [[R, 0, 0], [-R, 0, 0], [0, R, 0], [0, -R, 0], [0, 0, R], [0, 0, -R]];

  function panel(element) {
    letScroll(element);
    const name = element.dataset.of;
    const viewer = $3Dmol.createViewer(element, { backgroundAlpha: 0, antialias: true, disableFog: true });
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
    const bounds = viewer.addModel();
    bounds.addAtoms(corners.map(([x, y, z], serial) => ({ serial, elem: "C", x, y, z, bonds: [] })));
    bounds.setStyle({}, {});
    return { name, viewer, model, bounds, shadow, count: all.length, now: element.parentElement.querySelector(".now") };
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

  // The same view on every panel, wide enough for nearly all frames of all of them: that of points which are not drawn.
  function frameAll(panels) {
    for (const { viewer, bounds } of panels) {
      viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]);
      viewer.zoomTo({ model: bounds });
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
    if (!document.createElement("canvas").getContext("webgl")) throw new Error("it offers no WebGL");
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
    for (const part of [find(".panels"), find(".controls"), find(".note")]) part.hidden = true;
    const advice = "topology.pdb and the .xtc files of the folders compared open in any viewer.";
    find("h2").insertAdjacentText("afterend", `This browser cannot show them (${error?.message ?? error}); ${advice}`);
  };
  const soon = window.requestIdleCallback ?? ((f) => setTimeout(f, 50));
  addEventListener("load", () => soon(() => begin().catch(fail)));
})();
