// SPDX-License-Identifier: MIT
// Code that is compiled while it runs, by all of the machine's compilers, thrown away when its assumptions break, and compiled again.
function add(a, b) { return a + b; }

let sum = 0;
for (let i = 0; i < 300000; i++) sum = add(sum, i);
let text = '';
for (let i = 0; i < 300; i++) text = add(text, i % 10); // not numbers: back to the interpreter
for (let i = 0; i < 300000; i++) sum = add(sum, 0.5);
console.log('add', sum, text.length);

class Shape { area() { return 0; } }
class Square extends Shape { constructor(a) { super(); this.a = a; } area() { return this.a * this.a; } }
class Circle extends Shape { constructor(r) { super(); this.r = r; } area() { return 3 * this.r * this.r; } }
let total = 0;
for (const make of [(i) => new Square(i % 7), (i) => new Circle(i % 5), (i) => (i % 2 ? new Square(2) : new Circle(1))])
  for (let i = 0; i < 50000; i++) total += make(i).area();
console.log('shapes', total);

const matrix = (n, f) => Float64Array.from({ length: n * n }, (_, i) => f(i));
const n = 80, a = matrix(n, (i) => i % 13), b = matrix(n, (i) => i % 7), c = new Float64Array(n * n);
for (let i = 0; i < n; i++)
  for (let j = 0; j < n; j++) {
    let s = 0;
    for (let k = 0; k < n; k++) s += a[i * n + k] * b[k * n + j];
    c[i * n + j] = s;
  }
console.log('matrix', c.reduce((x, y) => x + y));

// Functions that exist only here, each compiled, used and dropped: their code is written where other code was.
let made = 0;
for (let i = 0; i < 400; i++) {
  const f = new Function('x', `let s = 0; for (let i = 0; i < 200; i++) s += (x ^ ${i}) & i; return s;`);
  for (let k = 0; k < 10; k++) made += f(k);
}
console.log('made', made);

console.log('regexp', 'x'.repeat(2000).replace(/x(x?)x/g, 'y$1').length,
  [...'the quick brown fox jumps over the lazy dog'.repeat(200).matchAll(/\b[a-z]*o[a-z]*\b/g)].length);

function deep(k) { return k === 0 ? 0 : 1 + deep(k - 1); }
let caught = 0;
for (let i = 0; i < 5; i++) try { deep(1e9); } catch (error) { caught += error instanceof RangeError; }
console.log('overflows', caught, deep(5000));

// A module for WebAssembly: (func (param i32) (result i32)) that loads from that address of one page.
const bytes = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 127, 1, 127, 3, 2, 1, 0, 5, 3, 1, 0, 1, 7, 8, 1, 4, 108, 111,
  97, 100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 40, 2, 0, 11]);
const { load } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
let zeros = 0, traps = 0;
for (let i = 0; i < 20000; i++) zeros += load(i * 3);
for (let i = 0; i < 200; i++) try { load(65533 + i); } catch (error) { traps += error instanceof WebAssembly.RuntimeError; }
console.log('wasm', zeros, traps);
