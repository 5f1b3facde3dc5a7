/** Ports of sandboxes: each its own, from being chosen until the sandbox ends. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { HeldPorts } from '../../src/cli/sandbox/ports.ts';

const held: { releaseAll(): Promise<void> }[] = [];
const servers: Server[] = [];
afterEach(async () => {
  for (const each of held.splice(0)) await each.releaseAll();
  for (const server of servers.splice(0)) server.close();
});

async function choose(
  ...args: Parameters<typeof HeldPorts.choose>
): ReturnType<typeof HeldPorts.choose> {
  const ports = await HeldPorts.choose(...args);
  held.push(ports);
  return ports;
}

async function listenOn(port: number): Promise<Server> {
  const server = createServer();
  servers.push(server);
  server.listen({ host: '127.0.0.1', port, exclusive: true });
  await once(server, 'listening');
  return server;
}

async function freePort(): Promise<number> {
  const server = await listenOn(0);
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

it('the preferred port is taken if it is free, and another one if it is not', async () => {
  const port = await freePort();
  const first = await choose({ a: port });
  const second = await choose({ a: port });
  expect(first.of('a')).toBe(port);
  expect(second.of('a')).not.toBe(port);
});

it('one that was let go can be listened on, and is still nobody else’s', async () => {
  const port = await freePort();
  const first = await choose({ a: port });
  await first.release('a');
  // Half a second may pass before the node that it was let go for listens.
  expect((await choose({ a: port })).of('a')).not.toBe(port);
  const server = await listenOn(port);
  server.close();
  await once(server, 'close');
  expect((await choose({ a: port })).of('a')).not.toBe(port);
});

it('when a sandbox has ended its ports are free again', async () => {
  const port = await freePort();
  await (await choose({ a: port })).releaseAll();
  expect((await choose({ a: port })).of('a')).toBe(port);
});

it('two that choose at once never choose the same', async () => {
  const port = await freePort();
  const wanted = { a: port, b: port, c: port };
  const all = await Promise.all([choose(wanted), choose(wanted), choose(wanted)]);
  const chosen = all.flatMap((ports) => Object.values(ports.all()));
  expect(new Set(chosen).size).toBe(9);
});

it('a port that must be this one is waited for while its last user dies', async () => {
  const port = await freePort();
  const server = await listenOn(port);
  setTimeout(() => server.close(), 200);
  expect((await choose({ a: port }, ['a'])).of('a')).toBe(port);
});

it('and refused by name when it stays taken; then nothing is held', async () => {
  const [free, taken] = [await freePort(), await freePort()];
  await listenOn(taken);
  const refused = choose({ a: free, peer7: taken }, ['peer7']);
  await expect(refused).rejects.toThrow(CodedError);
  await expect(refused).rejects.toThrow(`port ${taken} of 127.0.0.1 is taken`);
  await expect(refused).rejects.toThrow('peer7');
  expect((await choose({ a: free })).of('a')).toBe(free);
});
