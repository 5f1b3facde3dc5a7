// Which recorded exchanges this service is not to be measured by yet, and where it differs on
// purpose. Both tables are printed by the test, and an entry that no longer applies fails it.

import type { Recording } from './recordings.ts';

/** Not counted: what they ask for comes later, or not at all. */
const NOT_YET: readonly (readonly [pattern: RegExp, why: string])[] = [
  [
    /^\d+-gov-(?:encrypted|state-digest|proposal|ballot|members-|trigger|users$|tx$)/,
    'needs the members that signed it: played in test/ccf/governance.test.ts',
  ],
  [/^\d+-backup\d-/, 'needs several nodes'],
  [/-(?:multi-auth|custom-auth)/, 'authentication by token, COSE or custom policy: later'],
  [/-cose-signed-content$/, 'COSE authentication: later'],
  [/-anonymous-v2$/, 'its answer names its own transaction, which an application cannot know'],
  [/-request-query$/, 'an echo of the sample that nothing of ours needs'],
  [/-historical-/, 'historical state: later; receipts are there'],
  [
    /-(?:cose_receipt|cose_signature|cose_endorsements|cbor_merkle_proof)-/,
    'of the sample; /receipt/cose has it',
  ],
  [/-node-memory$/, 'gone from CCF 7.0; the operator’s metrics have it'],
  [/-node-(?:js_metrics|jwt_keys-refresh-metrics)$/, 'no scripts and no tokens yet'],
  [
    /-(?:node-snapshot(?:-head|-head-after|-since-future)?)$/,
    'needs a snapshot: played in test/node/downloads.test.ts',
  ],
  [/^3\d\d-snapshot-(?!bad-name)/, 'needs a snapshot: played in test/node/downloads.test.ts'],
];

/** Why an exchange is not counted, or undefined if it is. */
export function whyNotCounted({ name }: Recording): string | undefined {
  return NOT_YET.find(([pattern]) => pattern.test(name))?.[1];
}

/** Patterns of NOT_YET that match none of these: there should be none. */
export function idlePatterns(all: readonly Recording[]): readonly string[] {
  return NOT_YET.filter(([pattern]) => !all.some(({ name }) => pattern.test(name))).map(
    ([pattern]) => String(pattern),
  );
}

export interface Deviation {
  readonly exchange: string;
  /** Matches what `differences` says of it. */
  readonly differs: RegExp;
  readonly why: string;
  /** Seen on some runs or services only. */
  readonly sometimes?: true;
}

const OPTIONAL_INTERFACE_FIELD = new RegExp(
  '^field /rpc_interfaces/primary_rpc_interface/(?:app_protocol|forwarding_timeout_ms|' +
    'http_configuration|max_open_sessions_hard|max_open_sessions_soft) is missing$',
);

export const DEVIATIONS: readonly Deviation[] = [
  {
    exchange: '002-tx-status-immediately',
    differs: /^\/status is "Committed", recorded "Pending"$/,
    why: 'the answer may find the transaction committed already',
    sometimes: true,
  },
  {
    exchange: '016-get-private-member-cert',
    differs: /^header www-authenticate is missing|^\/error\/details/,
    why: 'the policy for users’ COSE requests, and its challenge, come later',
  },
  {
    exchange: '017-post-private-bad-json',
    differs: /^\/error\/message is "\[json\.exception\.parse_error\.101\] parse error: /,
    why: 'the place of the error is said as our parser says it',
  },
  {
    exchange: '073-app-openapi',
    differs: /^field \/(?:components|paths)\//,
    why: 'schemas are written in place; the sample has more endpoints (compared below)',
  },
  {
    exchange: '074-node-openapi',
    differs: /^field \/(?:components|paths)\//,
    why: 'schemas are written in place; some endpoints come later (compared below)',
  },
  ...['085-node-network-nodes-self', '086-node-network-nodes-primary'].map(
    (exchange): Deviation => ({
      exchange,
      differs: OPTIONAL_INTERFACE_FIELD,
      why: 'optional fields (governance.md §1.1) that the node leaves out of its row',
      sometimes: true,
    }),
  ),
  {
    exchange: '091-node-consensus',
    differs: /^field \/details\/acks\/[0-9a-f]{64} is missing$/,
    why: 'one node hears from no others',
  },
  {
    exchange: '098-node-index-strategies',
    differs: /^body is empty$/,
    why: 'no indexing strategy is installed, and none is claimed',
  },
];
