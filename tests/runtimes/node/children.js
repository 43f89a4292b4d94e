// SPDX-License-Identifier: MIT
// Child processes: output, input, exit codes, signals, channels, errors of exec.
const { spawn, spawnSync, fork, execFile } = require('child_process');
const { promisify } = require('util');

async function main() {
  const run = promisify(execFile);
  const outputs = await Promise.all([1, 2, 3].map((i) => run(process.execPath, ['-e', `process.stdout.write("child ${i}")`])));
  console.log(outputs.map((o) => o.stdout).join(', '));

  const echo = spawnSync(process.execPath, ['-e', 'process.stdin.on("data", (d) => process.stdout.write(String(d).toUpperCase()))'],
    { input: 'from the parent' });
  console.log(String(echo.stdout), echo.status);

  console.log((await run(process.execPath, ['-e', 'process.exit(7)']).catch((error) => error)).code);
  console.log((await run('/nowhere/program').catch((error) => error)).code);
  console.log((await run('/etc').catch((error) => error)).code);

  const sleeper = spawn(process.execPath, ['-e', 'console.log("up"); setInterval(() => {}, 1000)']);
  sleeper.stdout.once('data', () => sleeper.kill('SIGTERM'));
  console.log(await new Promise((resolve) => sleeper.on('exit', (code, signal) => resolve(signal))));

  const child = fork(__filename, ['child']);
  let last = 0;
  child.on('message', (n) => { last = n; child.send(n + 1); });
  child.send(1);
  console.log('exit', await new Promise((resolve) => child.on('exit', resolve)), 'last', last);

  let got = 0;
  const alive = setInterval(() => {}, 1000);
  await new Promise((resolve) => {
    process.on('SIGUSR2', () => (++got < 50 ? process.kill(process.pid, 'SIGUSR2') : resolve()));
    process.kill(process.pid, 'SIGUSR2');
  });
  clearInterval(alive);
  console.log('signals', got);
}

if (process.argv[2] === 'child') process.on('message', (n) => (n > 100 ? process.exit(3) : process.send(n + 1)));
else main();
