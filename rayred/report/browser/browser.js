// The group browser of a data set, for any host that gives `render` an element and a model.
//
// VirtualCore (virtual-core.min.js), groups.js and drawing.js precede it in one ES module.
// `model.get(name)` gives `meta` (plain values), `data` (arrays, see content.py) and `sheets` (small
// images); bytes are a DataView, or an element whose text is base64.
//
// Names of images and classes are set as text, never as markup. Nothing is fetched but, by a page that
// is opened from disk, the picture of an image that is looked at.

const LINE_GAP = 6;
const HEADER = 34;
const PAIR_TEXT = 46;
const PAIR_SAID = 44; // below the images, where there is no space beside them
const NARROW = 620;

export default { render };

async function render({ model, el }) {
  const data = await unpack(model.get("meta"), bytesOf(model.get("data")));
  const browser = new Browser(el, data, new Pictures(data, model.get("sheets")));
  return () => browser.close();
}

function download(name, text) {
  const link = node("a", { href: URL.createObjectURL(new Blob([text], { type: "text/plain" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// --- the browser ---------------------------------------------------------------------------------

const MODES = { class: "share of every class", common: "share of all images", distance: "largest distance" };
const ORDERS = {
  largest: ["largest groups", (a, b) => b.images.length - a.images.length || a.height - b.height],
  loosest: ["loosest groups", (a, b) => b.height - a.height],
  tightest: ["tightest groups", (a, b) => a.height - b.height],
  class: ["class", (a, b) => a.label - b.label || b.images.length - a.images.length],
};

class Browser {
  constructor(el, data, pictures) {
    Object.assign(this, { el, data, pictures, edits: new Map(), picked: new Set() });
    this.trees = data.height ? new Trees(data) : null;
    this.filter = { label: -1, least: 2, height: 0, text: "", order: "largest" };
    this.first = data.cut ?? { mode: "class", value: 1, floor: 1 };
    this.cut = { ...this.first };
    // A cut that the code made is known to be in the trees, unless a part of them alone is shown.
    this.tooMany = Boolean(this.trees) && !data.whole && !this.trees.reaches(this.first);
    el.classList.add("rayred-browser");
    el.replaceChildren(this.toolbar(), this.tabs(), this.body());
    if (this.trees) this.setMode(this.first.mode, this.first.value);
    else this.regroup();
    this.open(data.group || this.trees ? "groups" : "pairs0");
    el.dataset.ready = "yes";
  }

  close() {
    this.lines.unmount();
    this.watch.disconnect();
  }

  toolbar() {
    const { data } = this;
    const choice = (label, options, change) =>
      node("label", {}, label, node("select", { onchange: (event) => change(event.target.value) }, ...options));
    const options = (pairs) => pairs.map(([value, text]) => node("option", { value, textContent: text }));
    this.summary = node("p", { className: "summary", "aria-live": "polite" });
    if (!data.group && !this.trees) return node("div", {});
    this.mode = choice("Cut by", options(Object.entries(MODES)), (mode) => this.setMode(mode));
    this.slider = node("input", { type: "range", "aria-label": "where to cut", oninput: () => this.slid() });
    this.number = node("input", { type: "number", step: "any", "aria-label": "where to cut, as a number", onchange: () => this.typed() });
    const cut = node("div", { className: "bar cut", hidden: !this.trees }, this.mode, this.slider, this.number);
    const classes = [[-1, "all classes"], ...data.classes.map((name, c) => [c, name])];
    this.classChoice = choice("Class", options(classes), (label) => this.refilter({ label: Number(label) }));
    const search = node("input", { type: "search", placeholder: "name", "aria-label": "search by name", oninput: (event) => this.refilter({ text: event.target.value }) });
    const least = node("input", { type: "number", min: 1, value: 2, "aria-label": "least images of a group", onchange: (event) => this.refilter({ least: Number(event.target.value) }) });
    const height = node("input", { type: "number", min: 0, step: "any", value: 0, "aria-label": "least height of a group", onchange: (event) => this.refilter({ height: Number(event.target.value) }) });
    const orders = Object.entries(ORDERS).map(([value, [text]]) => [value, text]);
    const filters = node(
      "div",
      { className: "bar" },
      this.classChoice,
      node("label", {}, "Name", search),
      node("label", {}, "At least", least, "images"),
      this.trees ? node("label", {}, "Height from", height) : null,
      choice("First", options(orders), (order) => this.refilter({ order })),
    );
    const button = (text, onclick) => node("button", { type: "button", textContent: text, onclick });
    const { complete, table } = data;
    this.changes = node("span", { className: "changes", "aria-live": "polite" });
    const edit = node(
      "div",
      { className: "bar edit" },
      this.changes,
      button("Keep all of the ticked groups", () => this.keepAll([...this.picked])),
      button("Undo all changes", () => this.change(() => this.edits.clear())),
      complete ? button("Download kept.txt", () => download("kept.txt", keptText(this))) : null,
      table ? button("Download discarded.csv", () => download("discarded.csv", discardedText(this))) : null,
      complete ? button("Copy kept.txt", (event) => this.copy(event.target, keptText(this))) : null,
      table ? button("Copy discarded.csv", (event) => this.copy(event.target, discardedText(this))) : null,
    );
    return node("div", {}, cut, this.summary, filters, edit);
  }

  tabs() {
    const { data } = this;
    const names = this.trees || data.group ? [["groups", "Groups"], ["classes", "Classes"]] : [];
    if (data.place) names.push(["map", "Map of a class"]);
    data.pairs.forEach((one, number) => names.push([`pairs${number}`, `${one.title} (${one.count.toLocaleString("en")})`]));
    this.tabButtons = names.map(([name, text]) =>
      node("button", { type: "button", role: "tab", id: `tab-${name}`, textContent: text, onclick: () => this.open(name) }),
    );
    return node("div", { className: "tabs", role: "tablist", onkeydown: (event) => this.moveTab(event) }, ...this.tabButtons);
  }

  moveTab(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const next = this.tabButtons.at((this.tabButtons.indexOf(event.target) + step) % this.tabButtons.length);
    next.click();
    next.focus();
  }

  body() {
    this.list = node("div", { className: "list", tabIndex: 0, role: "region", "aria-label": "images", onkeydown: (event) => this.key(event) });
    this.table = node("div", { className: "classes" });
    this.map = node("canvas", { className: "map", onclick: (event) => this.clickMap(event), "aria-label": "map of a class" });
    this.note = node("p", { className: "note" });
    this.detail = node("aside", { className: "detail", "aria-live": "polite" });
    this.lines = new Lines(this.list, (line) => this.drawLine(line));
    this.watch = new ResizeObserver(() => {
      if (!this.list.hidden && this.columns !== this.fitting()) this.layout();
      if (this.tab === "map") this.drawMap();
    });
    this.main = node("div", { className: "main", role: "tabpanel", "aria-label": "what is shown" }, this.note, this.list, this.table, this.map);
    this.watch.observe(this.main);
    return node("div", { className: "split" }, this.main, this.detail);
  }

  open(tab) {
    this.tab = tab;
    for (const button of this.tabButtons) button.setAttribute("aria-selected", String(button.id === `tab-${tab}`));
    const pairs = tab.startsWith("pairs");
    this.pair = pairs ? this.data.pairs[Number(tab.slice(5))] : null;
    this.list.hidden = tab !== "groups" && !pairs;
    this.table.hidden = tab !== "classes";
    this.map.hidden = tab !== "map";
    const { pair } = this;
    const shown = pair && pair.images.length / 2 < pair.count ? ` The first ${pair.images.length / 2} are shown.` : "";
    this.note.textContent = pair ? pair.note + shown : NOTES[tab];
    this.refresh();
  }

  // --- the cut ---

  setMode(mode, value = null) {
    const { slider, number, trees } = this;
    const floor = this.first.floor;
    this.cut = { mode, floor, value: this.cut.value };
    this.mode.querySelector("select").value = mode;
    slider.min = mode === "distance" ? 0 : trees.lowest(mode, floor);
    slider.max = 1000;
    number.min = mode === "distance" ? 0 : slider.min / 10;
    number.max = mode === "distance" ? trees.far : 100;
    this.setValue(value ?? this.alike(mode));
  }

  // The value of a way to cut that keeps about what is kept now.
  alike(mode) {
    const { trees } = this;
    const { done } = this.groups;
    const kept = trees.N - done.reduce((sum, merges) => sum + merges, 0);
    if (mode !== "distance") return Math.round((1000 * kept) / trees.N) / 1000;
    return Math.max(0, ...done.map((merges, c) => (merges ? trees.height[trees.first[c] + merges - 1] : 0)));
  }

  setValue(value) {
    const { trees, slider, cut, first } = this;
    const distance = cut.mode === "distance";
    const asMade = cut.mode === first.mode && value === first.value && !this.tooMany;
    cut.value = Math.min(Math.max(value, 0), distance ? trees.far : 1);
    if (asMade) cut.value = value;
    else if (!distance && !trees.reaches(cut)) cut.value = slider.min / 1000;
    slider.value = distance ? 1000 * Math.sqrt(cut.value / trees.far || 0) : 1000 * cut.value;
    this.number.value = distance ? shortAbove(cut.value, 6) : Number((100 * cut.value).toFixed(2));
    this.regroup();
  }

  slid() {
    const place = Number(this.slider.value) / 1000;
    this.setValue(this.cut.mode === "distance" ? this.trees.far * place * place : Number(this.slider.value) / 1000);
  }

  typed() {
    const value = Number(this.number.value);
    if (this.number.value === "" || Number.isNaN(value)) return this.setValue(this.cut.value);
    return this.setValue(this.cut.mode === "distance" ? value : Number((value / 100).toPrecision(12)));
  }

  regroup() {
    this.groups = new Groups(this.data, this.trees, this.cut, this.edits);
    this.picked.clear();
    this.refresh();
  }

  change(edit) {
    edit();
    for (const group of this.groups.all) this.groups.settle(group);
    this.redrawn(() => this.refresh());
  }

  // Draw anew; what has the keyboard keeps it, or the list has it if that is gone.
  redrawn(draw) {
    const before = this.el.getRootNode().activeElement;
    const had = this.el.contains(before);
    draw();
    if (had && !before.isConnected) this.list.focus({ preventScroll: true });
  }

  refilter(part) {
    Object.assign(this.filter, part);
    this.picked.clear();
    this.list.scrollTop = 0;
    this.refresh();
  }

  // --- what is seen ---

  refresh() {
    if (!this.groups || !this.tab) return;
    this.summarise();
    if (!this.list.hidden) this.layout();
    if (this.tab === "classes") this.drawTable();
    if (this.tab === "map") this.drawMap();
    if (this.shown !== undefined) this.show(this.shown);
  }

  summarise() {
    const { groups, trees, data } = this;
    if (!trees && !data.group) return;
    const total = data.classSizes.reduce((sum, size) => sum + size, 0);
    const gone = groups.discarded().reduce((sum, number) => sum + number, 0);
    const redundant = groups.all.filter((group) => group.images.length > 1);
    const highest = redundant.reduce((most, group) => Math.max(most, group.height), 0);
    let text = `${(total - gone).toLocaleString("en")} of ${count(total, "image")} are kept, ${percent(gone / total)} are not; ${count(redundant.length, "group")} of more than one image`;
    if (this.tooMany) text += " (the groups of the cut that was made are too many to be shown)";
    if (trees && redundant.length) text += data.linkage === "complete" ? `, in none are two farther apart than ${shortAbove(highest, 3)}` : `, the highest merge at ${short(highest)}`;
    this.summary.textContent = `${text}.`;
    if (this.changes) this.changes.textContent = groups.changes() ? `${count(groups.changes(), "image")} changed` : "Nothing changed";
  }

  filtered() {
    const { label, least, height, text, order } = this.filter;
    const { data, groups } = this;
    const wanted = text.toLowerCase();
    const has = (group) => !wanted || group.images.some((p) => data.names[p].toLowerCase().includes(wanted));
    let found = groups.all.filter((group) => (label < 0 || group.label === label) && group.images.length >= least && group.height >= height && has(group));
    if ((wanted || least < 2) && height <= 0)
      for (let p = 0; p < groups.n; p++)
        if (!groups.of[p] && (label < 0 || data.label[p] === label) && (!wanted || data.names[p].toLowerCase().includes(wanted))) found.push(groups.alone(p));
    const named = (group) => (wanted && group.images.some((p) => data.names[p].toLowerCase() === wanted) ? 0 : 1);
    return found.sort((a, b) => named(a) - named(b) || ORDERS[order][1](a, b) || a.images[0] - b.images[0]);
  }

  fitting() {
    return Math.max(1, Math.floor((this.list.clientWidth - 2 * LINE_GAP) / (this.pictures.width + LINE_GAP + 6)));
  }

  layout() {
    const { pictures } = this;
    this.columns = this.fitting();
    const line = pictures.height + LINE_GAP + 6;
    this.items = [];
    if (this.pair) {
      for (let i = 0; i < this.pair.images.length / 2; i++) this.items.push({ pair: i });
      const text = this.list.clientWidth < NARROW ? PAIR_SAID : 0;
      this.lines.set(this.items.map(() => Math.max(line, PAIR_TEXT) + text + LINE_GAP));
      return;
    }
    const found = this.filtered();
    this.note.textContent = found.length ? NOTES.groups : "There is no such group at this cut.";
    for (const group of found) {
      this.items.push({ group });
      const chosen = this.groups.chosen(group);
      const images = [chosen, ...group.images.filter((p) => p !== chosen)];
      for (let first = 0; first < images.length; first += this.columns) this.items.push({ group, images: images.slice(first, first + this.columns) });
    }
    this.lines.set(this.items.map((item) => (item.images ? line : HEADER)));
  }

  drawLine(index) {
    const { group, images, pair } = this.items[index];
    if (pair !== undefined) return this.drawPair(pair);
    if (images) return node("div", { className: "line" }, ...images.map((p) => this.thumb(p)));
    const tick = node("input", { type: "checkbox", checked: this.picked.has(group), onchange: (event) => (event.target.checked ? this.picked.add(group) : this.picked.delete(group)) });
    const about = [count(group.images.length, "image")];
    if (this.trees && group.images.length > 1) about.push(`height ${short(group.height)}`);
    if (group.kept.size !== 1) about.push(`${group.kept.size} kept`);
    const name = node("span", { className: "name", textContent: this.data.classes[group.label] });
    const all = node("button", { type: "button", textContent: "Keep all", hidden: group.images.length < 2, onclick: () => this.keepAll([group]) });
    return node("div", { className: "line head" }, node("label", {}, tick, name), node("span", { className: "about", textContent: about.join(" · ") }), all);
  }

  drawPair(number) {
    const { pair, data } = this;
    const sides = [pair.images[2 * number], pair.images[2 * number + 1]].map((p) => [
      this.thumb(p),
      node("div", { className: "side" }, node("b", { textContent: data.names[p] }), node("span", { textContent: `${data.classes[data.label[p]]}${data.splits.length > 1 ? ` · ${data.splits[data.split[p]]}` : ""}` })),
    ]);
    const narrow = this.list.clientWidth < NARROW;
    return node("div", { className: narrow ? "line pair narrow" : "line pair" }, ...sides.flat(), node("span", { className: "said", textContent: pair.said[number] }));
  }

  thumb(p) {
    const { data, groups } = this;
    const state = this.pair ? "plain" : groups.isKept(p) ? "kept" : "gone";
    const canvas = node("canvas", {});
    this.pictures.draw(canvas, p);
    const name = data.names[p];
    const made = node("button", { type: "button", className: `thumb ${state}`, title: name, tabIndex: -1, onclick: () => this.pick(p) }, canvas);
    made.setAttribute("aria-label", `${name}, ${data.classes[data.label[p]]}${this.pair ? "" : `, ${state === "kept" ? "kept" : "not kept"}`}`);
    made.setAttribute("aria-current", String(p === this.shown));
    made.dataset.image = p;
    if (this.edits.has(p)) made.classList.add("changed");
    return made;
  }

  drawTable() {
    const { data, groups } = this;
    const gone = groups.discarded();
    const rows = data.classes.map((name, c) => ({ name, c, size: data.classSizes[c], gone: gone[c], share: gone[c] / data.classSizes[c] })).filter((row) => row.size);
    const columns = { name: "class", size: "images", gone: "not kept", share: "redundant" };
    const { by, down } = (this.tableOrder ??= { by: "share", down: true });
    const sign = down ? -1 : 1;
    rows.sort((a, b) => sign * (by === "name" ? a.name.localeCompare(b.name) : a[by] - b[by]) || a.c - b.c);
    const most = Math.max(...rows.map((row) => row.share), 1e-9);
    const heads = Object.entries(columns).map(([key, text]) => {
      const sort = () => {
        this.tableOrder = { by: key, down: by === key ? !down : key !== "name" };
        this.drawTable();
        this.table.querySelector("[aria-sort] button").focus();
      };
      const head = node("th", { scope: "col" }, node("button", { type: "button", textContent: text, onclick: sort }));
      if (by === key) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      return head;
    });
    const lines = rows.map((row) => {
      const open = () => ((this.classChoice.querySelector("select").value = row.c), this.refilter({ label: row.c }), this.open("groups"));
      const bar = node("meter", { min: 0, max: most, value: row.share, "aria-label": `redundant share of ${row.name}` });
      return node(
        "tr",
        {},
        node("td", {}, node("button", { type: "button", textContent: row.name, onclick: open })),
        node("td", { textContent: row.size.toLocaleString("en") }),
        node("td", { textContent: row.gone.toLocaleString("en") }),
        node("td", {}, node("span", { textContent: percent(row.share) }), bar),
      );
    });
    this.table.replaceChildren(node("table", {}, node("thead", {}, node("tr", {}, ...heads)), node("tbody", {}, ...lines)));
  }

  // --- the map ---

  drawMap() {
    const { data, groups, map } = this;
    const label = Math.max(0, this.filter.label);
    this.note.textContent = `${data.classes[label]}: ${NOTES.map}`;
    const density = globalThis.devicePixelRatio || 1;
    const width = this.main.clientWidth;
    const height = Math.min(Math.round(0.7 * width), 560);
    Object.assign(map, { width: width * density, height: height * density });
    Object.assign(map.style, { width: `${width}px`, height: `${height}px` });
    const images = [];
    for (let p = 0; p < groups.n; p++) if (data.label[p] === label) images.push(p);
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const p of images) {
      const [x, y] = [data.place[2 * p], data.place[2 * p + 1]];
      [left, right, low, high] = [Math.min(left, x), Math.max(right, x), Math.min(low, y), Math.max(high, y)];
    }
    const scale = Math.min((width - 24) / (right - left || 1), (height - 24) / (high - low || 1));
    const spot = (p) => [width / 2 + scale * (data.place[2 * p] - (left + right) / 2), height / 2 - scale * (data.place[2 * p + 1] - (low + high) / 2)];
    this.spots = images.map((p) => [p, ...spot(p)]);
    const style = getComputedStyle(this.el);
    const context = map.getContext("2d");
    context.scale(density, density);
    const radius = images.length > 2000 ? 2 : 3.5;
    context.strokeStyle = style.getPropertyValue("--rr-line");
    for (const [p, x, y] of this.spots) {
      if (groups.isKept(p)) continue;
      const { p: other } = groups.standing(p);
      if (other === undefined) continue;
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(...spot(other));
      context.stroke();
    }
    for (const keeps of [false, true]) {
      context.fillStyle = style.getPropertyValue(keeps ? "--rr-kept" : "--rr-pale");
      for (const [p, x, y] of this.spots) {
        if (groups.isKept(p) !== keeps) continue;
        context.beginPath();
        context.arc(x, y, radius, 0, 2 * Math.PI);
        context.fill();
      }
    }
    const current = this.spots.find(([p]) => p === this.shown);
    if (current) {
      context.strokeStyle = style.getPropertyValue("--rr-ink");
      context.lineWidth = 2;
      context.beginPath();
      context.arc(current[1], current[2], radius + 4, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  clickMap(event) {
    if (!this.spots.length) return;
    const [x, y] = [event.offsetX, event.offsetY];
    const far = ([, a, b]) => (a - x) ** 2 + (b - y) ** 2;
    const nearest = this.spots.reduce((best, spot) => (far(spot) < far(best) ? spot : best));
    if (far(nearest) > 400) return;
    this.show(nearest[0], true);
    this.drawMap();
  }

  // --- one image ---

  pick(p) {
    this.show(p, true);
    if (!this.list.hidden) this.list.focus({ preventScroll: true });
  }

  show(p, chosen = false) {
    this.shown = p;
    for (const thumb of this.list.querySelectorAll(".thumb")) thumb.setAttribute("aria-current", String(Number(thumb.dataset.image) === p));
    const { data, groups } = this;
    const canvas = node("canvas", { className: "large" });
    this.pictures.draw(canvas, p, this.pictures.large());
    const facts = [["class", data.classes[data.label[p]]], ["row", String(data.row[p])]];
    if (data.splits.length > 1) facts.push(["split", data.splits[data.split[p]]]);
    const group = groups.of[p];
    const ours = p < groups.n && !this.pair;
    if (ours && group?.images.length > 1) facts.push(["group", `${count(group.images.length, "image")}${this.trees ? `, height ${short(group.height)}` : ""}`]);
    if (ours) facts.push(["", groups.isKept(p) ? "kept" : "not kept"]);
    const actions = [];
    const action = (text, edit) => actions.push(node("button", { type: "button", textContent: text, onclick: () => this.change(edit) }));
    if (ours && group?.images.length > 1) {
      const only = group.kept.size === 1 && group.kept.has(p);
      if (!only) action("Keep this one instead (k)", () => group.images.forEach((one) => this.edits.set(one, one === p)));
      if (!group.kept.has(p)) action("Keep this one too", () => this.edits.set(p, true));
      if (group.kept.has(p) && !only) action("Do not keep this one", () => this.edits.set(p, false));
    }
    const near = p < groups.n ? neighboursOf(data, p) : [];
    const reached = (thumb) => Object.assign(thumb, { tabIndex: 0 });
    const neighbours = near.map(({ p: other, distance }) =>
      node("div", { className: "near" }, reached(this.thumb(other)), node("div", { className: "side" }, node("b", { textContent: data.names[other] }), node("span", { textContent: `distance ${short(distance)}` }))),
    );
    const close = node("button", { type: "button", className: "close", textContent: "Close", onclick: () => this.hide() });
    this.detail.replaceChildren(
      close,
      node("h3", { textContent: data.names[p] }),
      this.whole(p, canvas),
      node("dl", {}, ...facts.flatMap(([term, text]) => [node("dt", { textContent: term }), node("dd", { textContent: text })])),
      node("div", { className: "actions" }, ...actions),
      ...(neighbours.length ? [node("h4", { textContent: "Nearest images of its class" }), ...neighbours] : []),
    );
    if (chosen) this.detail.classList.add("open");
  }

  hide() {
    this.shown = undefined;
    this.detail.classList.remove("open");
    this.detail.replaceChildren();
    for (const thumb of this.list.querySelectorAll(".thumb")) thumb.setAttribute("aria-current", "false");
  }

  // The small image until the whole picture is there, if it is.
  whole(p, small) {
    const frame = node("div", { className: "picture" }, small);
    const { sources, names, split } = this.data;
    if (globalThis.location?.protocol !== "file:") return frame;
    const next = (place) => {
      if (place >= sources.length || split[p] > 0) return;
      let path;
      try {
        path = names[p].split("/").map(encodeURIComponent).join("/");
      } catch {
        return; // a name that is no text
      }
      const image = node("img", { alt: names[p], onerror: () => next(place + 1), onload: () => frame.replaceChildren(image) });
      image.src = sources[place] + path;
    };
    next(0);
    return frame;
  }

  keepAll(groups) {
    this.change(() => groups.forEach((group) => group.images.forEach((p) => this.edits.set(p, true))));
  }

  async copy(button, text) {
    const before = (button.title ||= button.textContent);
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // As within the frame of another program: the text is shown, to be copied by hand.
      const area = node("textarea", { readOnly: true, value: text, "aria-label": before });
      this.detail.replaceChildren(area);
      this.detail.classList.add("open");
      area.select();
      return;
    }
    setTimeout(() => (button.textContent = before), 2500);
  }

  // --- keys ---

  key(event) {
    const { items, columns } = this;
    if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
    const rows = items.map((item, line) => ({ line, images: item.images ?? (this.pair ? [...this.pair.images.slice(2 * item.pair, 2 * item.pair + 2)] : null) })).filter((row) => row.images);
    if (event.target !== this.list && event.target.tagName === "INPUT") return;
    if (event.key === "Escape") return this.hide();
    const group = this.groups.of[this.shown];
    if (event.key === "k" && group && !this.pair) return this.change(() => group.images.forEach((p) => this.edits.set(p, p === this.shown)));
    if (event.key === "a" && group && !this.pair) return this.keepAll([group]);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -Infinity, End: Infinity }[event.key];
    if (!step || !rows.length) return undefined;
    event.preventDefault();
    let row = rows.findIndex(({ images }) => images.includes(this.shown));
    let place = row < 0 ? 0 : rows[row].images.indexOf(this.shown);
    if (row < 0) row = 0;
    else if (step === -Infinity) [row, place] = [0, 0];
    else if (step === Infinity) [row, place] = [rows.length - 1, Infinity];
    else if (Math.abs(step) === 1 && !event.key.endsWith("Up") && !event.key.endsWith("Down")) {
      place += step;
      if (place < 0) [row, place] = row > 0 ? [row - 1, Infinity] : [row, 0];
      else if (place >= rows[row].images.length) [row, place] = row + 1 < rows.length ? [row + 1, 0] : [row, place - 1];
    } else row = Math.min(rows.length - 1, Math.max(0, row + Math.sign(step)));
    const { line, images } = rows[row];
    this.lines.show(line);
    return this.show(images[Math.min(place, images.length - 1)]);
  }
}

const NOTES = {
  groups: "Images in one group look alike to the model; those in green are kept. Arrow keys move, k keeps this one instead, a keeps all of its group.",
  classes: "How much of each class is redundant at this cut. Click a class for its groups.",
  map: "the first two principal components of its embeddings. Kept images are green, the others pale, with a line to what is kept in their place. Click one.",
};
