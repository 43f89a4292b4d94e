// SPDX-License-Identifier: MIT
// Worker threads that share memory: atomic operations, waiting and waking, messages with transfer.
const { Worker, isMainThread, workerData, parentPort } = require('worker_threads');

const WORKERS = 4, STEPS = 20000;

function work() {
  const { shared, id } = workerData;
  const cells = new Int32Array(shared);
  for (let i = 0; i < STEPS; i++) Atomics.add(cells, 0, 1);
  for (let i = 0; i < 500; i++) { // a lock of one word
    while (Atomics.compareExchange(cells, 1, 0, 1) !== 0) Atomics.wait(cells, 1, 1, 5);
    cells[2]++;
    Atomics.store(cells, 1, 0);
    Atomics.notify(cells, 1, 1);
  }
  parentPort.on('message', (bytes) => {
    if (!bytes) return parentPort.close();
    let sum = 0;
    for (const byte of new Uint8Array(bytes)) sum += byte;
    parentPort.postMessage({ id, sum, bytes }, [bytes]);
  });
}

async function main() {
  const shared = new SharedArrayBuffer(16);
  const workers = Array.from({ length: WORKERS }, (_, id) => new Worker(__filename, { workerData: { shared, id } }));
  const answers = [];
  await Promise.all(workers.map((worker, id) => new Promise((resolve, reject) => {
    let round = 0;
    worker.on('error', reject);
    worker.on('message', ({ sum, bytes }) => {
      answers[id] = (answers[id] || 0) + sum;
      worker.postMessage(++round < 20 ? bytes : null, round < 20 ? [bytes] : []);
    });
    worker.on('exit', resolve);
    const bytes = new Uint8Array(1000).fill(id + 1).buffer;
    worker.postMessage(bytes, [bytes]);
  })));
  const cells = new Int32Array(shared);
  console.log('added', cells[0], 'under the lock', cells[2]);
  console.log('sums', answers.join(' '));
  const failing = new Worker('throw new Error("on purpose")', { eval: true });
  failing.on('error', (error) => console.log('error', error.message));
  console.log('exit', await new Promise((resolve) => failing.on('exit', resolve)));
  const endless = new Worker('require("worker_threads").parentPort.postMessage(0); for (;;);', { eval: true });
  await new Promise((resolve) => endless.on('message', resolve));
  console.log('terminated', await endless.terminate());
}

isMainThread ? main() : work();
