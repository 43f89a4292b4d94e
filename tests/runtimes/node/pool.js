// SPDX-License-Identifier: MIT
// The library's own pool of threads (files, compression, cryptography), timers and collections of garbage on other threads.
const crypto = require('crypto'), fs = require('fs'), os = require('os'), path = require('path'), zlib = require('zlib');
const { promisify } = require('util');

async function main() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pool-'));
  const texts = Array.from({ length: 24 }, (_, i) => `${i} `.repeat(5000));
  const sizes = await Promise.all(texts.map(async (text, i) => {
    const file = path.join(folder, String(i));
    await fs.promises.writeFile(file, await promisify(zlib.deflate)(text));
    const back = await promisify(zlib.inflate)(await fs.promises.readFile(file));
    return String(back) === text ? back.length : -1;
  }));
  fs.rmSync(folder, { recursive: true });
  console.log('files', sizes.reduce((a, b) => a + b));

  const keys = await Promise.all([1, 2, 3, 4, 5, 6].map((i) => promisify(crypto.pbkdf2)(`password ${i}`, 'salt', 300, 16, 'sha256')));
  console.log('keys', crypto.createHash('sha256').update(Buffer.concat(keys)).digest('hex').slice(0, 16));

  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  let kept = new Map();
  for (let round = 0; round < 30; round++) {
    for (let i = 0; i < 5000; i++) kept.set(i % 3000, { round, text: `${round}:${i}`, list: [i, i + 1, i + 2] });
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  clearInterval(timer);
  console.log('kept', kept.size, kept.get(17).text, ticks > 0);
}
main();
