/**
 * What the figures were taken on, and who else was using it. Processes are read from `/proc`; where
 * there is none, what it would tell is left out.
 */
import { readFileSync, statfsSync } from 'node:fs';
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
  const text = readProcess(pid, 'stat');
  // The name in brackets may hold blanks and brackets itself.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields?.[11]) + Number(fields?.[12]);
  return Number.isFinite(ticks) ? ticks * TICK_MS : undefined;
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

/** Notes what these processes and the whole machine use from now on. */
export function watchOthers(pids: readonly number[]): (cores: number) => number {
  const own = (): number => {
    let total = 0;
    for (const pid of pids) total += processCpuMs(pid) ?? 0;
    return total;
  };
  const ownBefore = own();
  const busyBefore = machineBusyMs();
  const startMs = performance.now();
  return (cores) => {
    const foreign = machineBusyMs() - busyBefore - (own() - ownBefore);
    return Math.max(0, foreign / (cores * (performance.now() - startMs)));
  };
}

function readProcess(pid: number, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return undefined;
  }
}
