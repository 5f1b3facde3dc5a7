/**
 * What the figures were taken on, and who else was using it. Processes are read from `/proc`; where
 * there is none, what it would tell is left out.
 */
import { readdirSync, readFileSync, statfsSync } from 'node:fs';
import { availableParallelism, cpus, freemem, loadavg, release, totalmem, type } from 'node:os';

export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly memoryBytes: number;
  readonly freeMemoryBytes: number;
  readonly system: string;
  readonly node: string;
  readonly loadAverage: number;
  readonly fileSystem: string;
}

/** Of statfs(2). A flush to `tmpfs` reaches no disk, so its name must be seen. */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: 'ext4',
  16914836: 'tmpfs',
  2035054128: 'overlay',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  26985: 'nfs',
};

export function describeMachine(folder: string): Machine {
  const kind = Number(statfsSync(folder).type);
  return {
    cores: availableParallelism(),
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    memoryBytes: totalmem(),
    freeMemoryBytes: freemem(),
    system: `${type()} ${release()}`,
    node: process.version,
    loadAverage: loadavg()[0] ?? 0,
    fileSystem: FILE_SYSTEMS[kind] ?? `0x${kind.toString(16)}`,
  };
}

/** Linux counts processor time in hundredths of a second, whatever its timer does. */
const TICK_MS = 10;

/** Processor time that a process and its threads have used; undefined without `/proc`. */
export function processCpuMs(pid: number): number | undefined {
  return cpuMsOf(pid, 2);
}

/**
 * The same with all that it has started, be it running or ended: what a system needs that answers
 * each connection with a process of its own.
 */
export function treeCpuMs(pid: number): number | undefined {
  let total = cpuMsOf(pid, 4);
  if (total === undefined) return undefined;
  for (const child of childrenOf(pid)) total += treeCpuMs(child) ?? 0;
  return total;
}

/** Its own processes, and those they started; it comes first. */
export function treeOf(pid: number): readonly number[] {
  return [pid, ...childrenOf(pid).flatMap(treeOf)];
}

/** The first of utime, stime, cutime and cstime together (proc(5)). */
function cpuMsOf(pid: number, fieldCount: 2 | 4): number | undefined {
  const text = readProcess(pid, 'stat');
  // The name in brackets may hold blanks and brackets itself.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ') ?? [];
  let ticks = 0;
  for (let field = 0; field < fieldCount; field += 1) ticks += Number(fields[11 + field]);
  return Number.isFinite(ticks) ? ticks * TICK_MS : undefined;
}

function childrenOf(pid: number): readonly number[] {
  let threads: readonly string[] = [];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    // It has ended, or there is no /proc.
  }
  return threads.flatMap((thread) =>
    (readProcess(pid, `task/${thread}/children`) ?? '').split(' ').filter(Boolean).map(Number),
  );
}

export interface ProcessMemory {
  readonly residentBytes: number;
  readonly peakBytes: number;
}

export function processMemory(pid: number): ProcessMemory | undefined {
  const text = readProcess(pid, 'status');
  const resident = /^VmRSS:\s+(\d+) kB$/m.exec(text ?? '')?.[1];
  const peak = /^VmHWM:\s+(\d+) kB$/m.exec(text ?? '')?.[1];
  if (resident === undefined || peak === undefined) return undefined;
  return { residentBytes: Number(resident) * 1024, peakBytes: Number(peak) * 1024 };
}

/** Processor time that all cores together have spent on anything, since the machine started. */
function machineBusyMs(): number {
  let busy = 0;
  for (const { times } of cpus()) busy += times.user + times.nice + times.sys + times.irq;
  return busy;
}

/**
 * Tells, at each call, the part of the machine that others used since the call before: not this
 * process, nor what it started, nor `pids`, which somebody else started for this run.
 */
export function watchOthers(pids: readonly number[] = []): () => number {
  const cores = availableParallelism();
  const read = (): { readonly foreignMs: number; readonly atMs: number } => {
    let foreignMs = machineBusyMs() - (treeCpuMs(process.pid) ?? 0);
    for (const pid of pids) foreignMs -= treeCpuMs(pid) ?? 0;
    return { foreignMs, atMs: performance.now() };
  };
  let last = read();
  return () => {
    const now = read();
    const part = (now.foreignMs - last.foreignMs) / (cores * (now.atMs - last.atMs));
    last = now;
    return Math.max(0, part);
  };
}

function readProcess(pid: number, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return undefined;
  }
}
