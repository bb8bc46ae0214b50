// Small images, elements, and a list of which only the lines in sight are drawn.
//
// The part of the browser's module between groups.js and browser.js.
//
// Legend: p image 0 … P − 1.

const SHEETS_HELD = 24;
const THUMB = 76; // pixels of the larger side
const LARGE = 240;

// Small images, cut out of sheets that are decoded when one of their images is first drawn.
class Pictures {
  constructor(data, sheets) {
    this.data = data;
    this.sheets = sheets;
    this.held = new Map();
    const scale = THUMB / Math.max(data.sheet.width, data.sheet.height);
    this.scale = scale > 1 ? Math.floor(scale) : scale;
    [this.width, this.height] = this.size(this.scale);
  }

  size(scale) {
    return [this.data.sheet.width, this.data.sheet.height].map((side) => Math.max(1, Math.round(side * scale)));
  }

  // The scale at which an image is looked at by itself.
  large() {
    const side = Math.max(this.data.sheet.width, this.data.sheet.height);
    return Math.min(LARGE / side, Math.max(this.scale, 8));
  }

  bitmap(number) {
    let found = this.held.get(number);
    if (found) this.held.delete(number);
    else found = createImageBitmap(new Blob([bytesOf(this.sheets[number])], { type: "image/webp" }));
    this.held.set(number, found);
    for (const [oldest] of this.held) {
      if (this.held.size <= SHEETS_HELD) break;
      this.held.delete(oldest);
    }
    return found;
  }

  async draw(canvas, p, scale = this.scale) {
    const { columns, rows, cell_width, cell_height, width: w, height: h } = this.data.sheet;
    const density = Math.min(2, globalThis.devicePixelRatio || 1);
    const [width, height] = this.size(scale);
    canvas.width = Math.round(width * density);
    canvas.height = Math.round(height * density);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    canvas.dataset.image = p;
    const slot = this.data.slot[p];
    const place = slot % (columns * rows);
    const bitmap = await this.bitmap(Math.floor(slot / (columns * rows)));
    if (canvas.dataset.image !== String(p)) return;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = canvas.width < 2 * w;
    const x = (place % columns) * cell_width;
    const y = Math.floor(place / columns) * cell_height;
    context.drawImage(bitmap, x, y, w, h, 0, 0, canvas.width, canvas.height);
    canvas.dataset.drawn = "yes";
  }
}

// --- elements ------------------------------------------------------------------------------------

function node(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
const short = (number) => Number(number.toPrecision(3)).toString();

// A number of a few digits that is not below it.
function shortAbove(number, digits) {
  const text = number.toPrecision(digits);
  if (Number(text) >= number) return Number(text).toString();
  const place = Math.floor(Math.log10(number)) - digits + 1;
  return Number((Number(text) + 10 ** place).toPrecision(digits)).toString();
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

// A list of lines of known heights, of which only those in sight are drawn.
class Lines {
  constructor(scroller, draw) {
    this.scroller = scroller;
    this.draw = draw;
    this.heights = [];
    this.drawn = new Map();
    this.inner = node("div", { className: "lines" });
    scroller.append(this.inner);
    this.virtual = new VirtualCore.Virtualizer(this.options());
    this.unmount = this.virtual._didMount();
    this.virtual._willUpdate();
  }

  options() {
    return {
      count: this.heights.length,
      getScrollElement: () => this.scroller,
      estimateSize: (line) => this.heights[line],
      scrollToFn: VirtualCore.elementScroll,
      observeElementRect: VirtualCore.observeElementRect,
      observeElementOffset: VirtualCore.observeElementOffset,
      overscan: 3,
      onChange: () => this.paint(),
    };
  }

  set(heights) {
    this.heights = heights;
    this.virtual.setOptions(this.options());
    this.virtual.measure();
    this.drawn = new Map();
    this.inner.replaceChildren();
    this.paint();
  }

  paint() {
    this.virtual._willUpdate();
    this.inner.style.height = `${this.virtual.getTotalSize()}px`;
    const seen = new Set();
    for (const { index, start } of this.virtual.getVirtualItems()) {
      seen.add(index);
      if (this.drawn.has(index)) continue;
      const line = this.draw(index);
      line.style.transform = `translateY(${start}px)`;
      this.drawn.set(index, line);
      this.inner.append(line);
    }
    for (const [index, line] of this.drawn) {
      if (seen.has(index)) continue;
      line.remove();
      this.drawn.delete(index);
    }
  }

  show(line) {
    this.virtual.scrollToIndex(line, { align: "auto" });
  }
}
