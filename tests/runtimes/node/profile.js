// SPDX-License-Identifier: MIT
// The sampling profiler: SIGPROF at a high rate, whose handler walks the stack of compiled code from the interrupted registers.
const { Session } = require('inspector');

const session = new Session();
session.connect();
const post = (method, parameters) => new Promise((resolve, reject) =>
  session.post(method, parameters, (error, result) => (error ? reject(error) : resolve(result))));

function hotLoop(n) {
  let s = 0;
  for (let i = 0; i < 2000; i++) s = (s * 31 + (i ^ n)) | 0;
  return s;
}

function churn(n) {
  const list = [];
  for (let i = 0; i < 50; i++) list.push({ n, i, text: `${n}:${i}` });
  return list.reduce((sum, item) => sum + item.text.length, 0);
}

async function main() {
  await post('Profiler.enable');
  await post('Profiler.setSamplingInterval', { interval: 200 });
  await post('Profiler.start');
  let sum = 0;
  for (let end = Date.now() + 500, n = 0; Date.now() < end; n++) sum += hotLoop(n) + churn(n) > 0;
  const { profile } = await post('Profiler.stop');
  const names = new Set(profile.nodes.map((node) => node.callFrame.functionName));
  console.log('seen', names.has('hotLoop'), names.has('churn'), profile.samples.length > 20, sum > 0);
}
main();
