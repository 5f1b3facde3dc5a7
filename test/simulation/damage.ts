// Damage to the files of a node that is down: what decays, a careless operator or a hostile host
// may do to them. All of it is to be noticed, repaired or without consequence; never believed.

import type { Chance } from './chance.ts';
import type { DiskState } from './disk-state.ts';

export const DAMAGES = [
  'bit rot',
  'bit rot in a header',
  'bit rot at the end',
  'zero-filled region',
  'truncated file',
  'extended file',
  'file removed',
  'files exchanged',
] as const;

export interface Damage {
  readonly kind: (typeof DAMAGES)[number];
  readonly path: string;
}

/** Damages one file; undefined when there is none to damage. */
export function damageFiles(disk: DiskState, chance: Chance): Damage | undefined {
  const all = [...disk.files()].filter(([, { current }]) => current.length > 0);
  if (all.length === 0) return undefined;
  const kind = chance.pick(DAMAGES);
  const [path, inode] = chance.pick(all);
  const bytes = Buffer.from(inode.current);
  const flip = (at: number): void => {
    bytes[at] = (bytes[at] ?? 0) ^ (1 << chance.below(8));
  };
  switch (kind) {
    case 'bit rot':
      flip(chance.below(bytes.length));
      break;
    case 'bit rot in a header':
      flip(chance.below(Math.min(16, bytes.length)));
      break;
    case 'bit rot at the end':
      flip(bytes.length - 1 - chance.below(Math.min(16, bytes.length)));
      break;
    case 'zero-filled region': {
      const from = chance.below(bytes.length);
      bytes.fill(0, from, Math.min(bytes.length, from + 1 + chance.below(512)));
      break;
    }
    case 'truncated file':
      inode.settle(bytes.subarray(0, chance.below(bytes.length)));
      return { kind, path };
    case 'extended file':
      inode.settle(Buffer.concat([bytes, chance.bytes(1 + chance.below(200))]));
      return { kind, path };
    case 'file removed':
      disk.removeDurably(path);
      return { kind, path };
    case 'files exchanged': {
      const [, other] = chance.pick(all);
      inode.settle(other.current);
      other.settle(bytes);
      return { kind, path };
    }
  }
  inode.settle(bytes);
  return { kind, path };
}
