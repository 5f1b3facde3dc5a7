// What governance needs of a node, without one: scripts in this thread, a clock that a test sets.

import { CodedError } from '../../src/base/errors.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { proposalIdOf } from '../../src/governance/proposals.ts';
import type { ScriptEffect } from '../../src/governance/scripts.ts';
import type { GovernanceDesk } from '../../src/http/gov/gov-request.ts';
import { threadRunner } from '../../src/node/scripts/thread-runner.ts';

export interface TestDesk extends GovernanceDesk {
  /** What was asked for beside rows, in order. */
  readonly carriedOut: ScriptEffect[];
  readonly said: string[];
  now: number;
}

export function testDesk(change: Partial<GovernanceDesk> = {}): TestDesk {
  const carriedOut: ScriptEffect[] = [];
  const said: string[] = [];
  const desk: TestDesk = {
    now: 0,
    carriedOut,
    said,
    scripts: threadRunner({ elapsedMs: () => performance.now(), random: () => 0.5 }),
    verifier: nodeVerifier,
    nowMs: () => desk.now,
    answer: async ({ name }) => {
      throw new CodedError('InternalError', `${name} is not to be had here`, { status: 500 });
    },
    log: (lines) => {
      said.push(...lines);
    },
    nameProposal: (digest) => proposalIdOf(new Uint8Array(32), digest),
    carryOut: (_transaction, effects) => {
      carriedOut.push(...effects);
    },
    ...change,
  };
  return desk;
}
