// Images regrouped at any cut of their trees: what is read, trees, groups, and the files they make.
//
// The first part of the browser's module, see browser.js; knows no document but to read text of elements.
//
// Legend: p image 0 … P − 1, j merge 0 … M − 1, node p or P + j, c class.

const ARRAYS = { int16: Int16Array, int32: Int32Array, uint8: Uint8Array, float32: Float32Array, float64: Float64Array };

// --- reading -------------------------------------------------------------------------------------

function bytesOf(value) {
  if (value instanceof DataView) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  const text = value.textContent.trim();
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

async function unpack(meta, bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  const data = { ...meta };
  for (const [name, [type, offset, length]] of Object.entries(meta.arrays))
    data[name] = new ARRAYS[type](buffer, offset, length);
  data.names = JSON.parse(new TextDecoder().decode(data.names));
  data.pairs = meta.pairs.map((one, number) => ({ ...one, images: data[`pairs${number}`] }));
  data.P = data.names.length;
  return data;
}

// --- trees ---------------------------------------------------------------------------------------

// Images of a class that a share keeps; rayred.clustering.trees.kept_images.
const keptImages = (size, share) => Math.max(1, Math.trunc(share * size + 0.5));

class Trees {
  constructor({ P, children, height, merges, classSizes, reach }) {
    Object.assign(this, { P, height, merges, classSizes, reach });
    this.M = height.length;
    this.N = classSizes.reduce((sum, size) => sum + size, 0);
    this.first = [0];
    for (const count of merges) this.first.push(this.first.at(-1) + count);
    this.parent = new Int32Array(P + this.M).fill(-1);
    for (let i = 0; i < 2 * this.M; i++) {
      const child = children[i] >= 0 ? children[i] : P - 2 - children[i];
      this.parent[child] = P + (i >> 1);
    }
    this.byHeight = Int32Array.from(height.keys()).sort((a, b) => height[a] - height[b] || a - b);
    this.far = Math.max(0, Math.min(reach, height.length ? height[this.byHeight.at(-1)] : 0));
  }

  // How many merges of each class a cut makes; rayred.clustering.cuts.Cut.counts. It may be more than
  // there are, see `reaches`.
  done({ mode, value, floor }) {
    const most = this.classSizes.map((size) => size - Math.min(floor, size));
    if (mode === "class")
      return this.classSizes.map((size, c) => Math.max(0, Math.min(most[c], size - keptImages(size, value))));
    const done = new Array(most.length).fill(0);
    let left = mode === "common" ? this.N - keptImages(this.N, value) : Infinity;
    let c = 0;
    for (const j of this.byHeight) {
      if (!left || (mode === "distance" && this.height[j] > value)) break;
      while (j < this.first[c]) c--;
      while (j >= this.first[c + 1]) c++;
      if (j - this.first[c] < most[c]) {
        done[c]++;
        left--;
      }
    }
    return done;
  }

  // Whether all merges of a cut are known.
  reaches(cut) {
    if (cut.mode === "distance") return cut.value <= this.reach;
    if (cut.mode === "class") return this.done(cut).every((count, c) => count <= (this.merges[c] ?? 0));
    return this.N - keptImages(this.N, cut.value) <= this.allowed(cut.floor);
  }

  // How many merges all classes have together up to the height that is known, where each keeps a floor.
  allowed(floor) {
    const done = this.done({ mode: "distance", value: this.reach, floor });
    return done.reduce((sum, merges) => sum + merges, 0);
  }

  // The lowest thousandth to which a share can be set.
  lowest(mode, floor) {
    let [low, high] = [0, 1000];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.reaches({ mode, value: middle / 1000, floor })) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  // The topmost node of each image that the first merges of each class make.
  tops(done) {
    const { P, parent, first } = this;
    const top = new Int32Array(parent.length).fill(-1);
    for (let c = 0; c < done.length; c++)
      for (let j = first[c] + done[c] - 1; j >= first[c]; j--) {
        const above = parent[P + j];
        top[P + j] = above >= 0 && top[above] >= 0 ? top[above] : P + j;
      }
    for (let p = 0; p < P; p++) top[p] = parent[p] >= 0 && top[parent[p]] >= 0 ? top[parent[p]] : p;
    return top.subarray(0, P);
  }
}

// --- groups --------------------------------------------------------------------------------------

// The groups of a cut, with what a person has changed: which images are kept of each. Images that are
// alone are in none, unless it is said of each image whether it is kept.
class Groups {
  constructor(data, trees, cut, edits) {
    Object.assign(this, { data, edits });
    const { P } = data;
    this.done = trees?.done(cut);
    const top = trees ? trees.tops(this.done) : data.group;
    const others = data.split.findIndex((split) => split > 0);
    this.n = !top ? 0 : others < 0 ? P : others;
    const sizes = new Int32Array(P + (trees?.M ?? 0));
    for (let p = 0; p < this.n; p++) sizes[top[p]]++;
    const found = new Array(sizes.length);
    this.all = [];
    this.of = new Array(P);
    for (let p = 0; p < this.n; p++) {
      const id = top[p];
      if (sizes[id] < 2 && !data.kept) continue;
      if (!found[id]) this.all.push((found[id] = { id, images: [], label: data.label[p], height: trees?.height[id - P] ?? 0 }));
      found[id].images.push(p);
      this.of[p] = found[id];
    }
    for (const group of this.all) this.settle(group);
  }

  // The image that a group keeps if nothing is changed.
  chosen({ id, images }) {
    const { kept, keptOfMerge, P } = this.data;
    return (kept ? images.find((p) => kept[p]) : keptOfMerge[id - P]) ?? images[0];
  }

  settle(group) {
    const { kept } = this.data;
    const chosen = this.chosen(group);
    const keeps = (p) => this.edits.get(p) ?? (kept ? kept[p] > 0 : p === chosen);
    group.kept = new Set(group.images.filter(keeps));
    // What has been changed at another cut leaves no group without an image that is kept.
    if (!group.kept.size && (!kept || group.images.some((p) => this.edits.has(p)))) group.kept.add(chosen);
  }

  isKept(p) {
    return this.of[p]?.kept.has(p) ?? true;
  }

  alone(p) {
    return { id: p, images: [p], label: this.data.label[p], height: 0, kept: new Set([p]) };
  }

  // How many images a person has made kept or not kept that would not be so.
  changes() {
    const { kept } = this.data;
    const before = (p) => (kept ? kept[p] > 0 : !this.of[p] || this.chosen(this.of[p]) === p);
    return [...this.edits].filter(([p, keep]) => keep !== before(p) && (keep || !this.isKept(p))).length;
  }

  // Images of each class that are not kept, with those that the page does not hold.
  discarded() {
    const gone = this.data.goneElsewhere ? [...this.data.goneElsewhere] : new Array(this.data.classes.length).fill(0);
    for (const group of this.all) gone[group.label] += group.images.length - group.kept.size;
    return gone;
  }

  // What is kept in the place of an image, and how far it is where that is known.
  standing(p) {
    const group = this.of[p];
    const chosen = this.chosen(group);
    const other = group.kept.has(chosen) ? chosen : group.kept.values().next().value;
    const near = neighboursOf(this.data, p).find((one) => one.p === other);
    return { p: other, distance: near?.distance };
  }
}

function neighboursOf(data, p) {
  const found = [];
  const k = data.neighbours;
  for (let i = k * p; i < k * (p + 1) && data.neighbour[i] >= 0; i++)
    found.push({ p: data.neighbour[i], distance: data.distance[i] });
  return found;
}

// --- files ---------------------------------------------------------------------------------------

const oneLine = (name) => name.replaceAll("\n", "\\n").replaceAll("\r", "\\r");
const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function keptText({ data, groups }) {
  const kept = data.names.filter((_, p) => p < groups.n && groups.isKept(p));
  return kept.map((name) => `${oneLine(name)}\n`).join("");
}

function discardedText({ data, groups }) {
  const number = new Map(groups.all.map((group, place) => [group, place]));
  const lines = ["name,class,row,representative,distance,group\n"];
  for (let p = 0; p < groups.n; p++) {
    if (groups.isKept(p)) continue;
    const { p: other, distance } = groups.standing(p);
    const cells = [data.names[p], data.classes[data.label[p]], data.row[p], data.names[other] ?? ""];
    cells.push(distance ?? "", number.get(groups.of[p]));
    lines.push(`${cells.map((cell) => quoted(oneLine(String(cell)))).join(",")}\n`);
  }
  return lines.join("");
}
