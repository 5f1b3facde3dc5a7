/**
 * The settings of a node. Names are CCF's where CCF has them (node-lifecycle.md §2); `folder`,
 * `durability`, `applications`, `restart`, the operator's interface and what a new service opens
 * with are ours.
 */
import { ATTESTATION } from './attestation-schema.ts';
import { FEDERATION } from './federation-schema.ts';
import { defaulted, KINDS, optional, required } from './kinds.ts';
import { RECOVERY_RELEASE } from './recovery-schema.ts';
import { SEALING } from './sealing-schema.ts';
import { listOf, listOfValues, optionalSection, section } from './setting.ts';

const { address, choice, choices, count, duration, flag, partyKey, path, size, text } = KINDS;

const COUNT_MAX = 1_000_000_000;
const anyText = {
  ...text,
  parse: (given: unknown) => (typeof given === 'string' ? given : undefined),
};

/** Where clients are sent on: to whoever has a role, or to one address. */
const redirection = (what: string) =>
  optionalSection({
    kind: required(choice(['NodeByRole', 'StaticAddress']), `where ${what} goes`),
    target: section({
      role: optional(choice(['primary', 'backup']), 'NodeByRole: to a node of this role'),
      interface: optional(
        text,
        'NodeByRole: to that interface of it; the one that the request came by when absent',
      ),
      address: optional(text, 'StaticAddress: to this address, HOST:PORT'),
    }),
  });

const network = section({
  node_to_node_interface: section({
    bind_address: required(address, 'where this node listens for the others'),
    published_address: optional(
      address,
      'where the others reach it, if that is another; it stands in the ledger and never changes',
    ),
  }),
  rpc_interfaces: section({
    primary_rpc_interface: section({
      bind_address: required(address, 'where this node listens for clients, over TLS'),
      published_address: optional(
        address,
        'where clients reach it, if that is another; its certificate names it, it stands in ' +
          'the ledger, and never changes',
      ),
      max_open_sessions_soft: defaulted(
        count(1, 100_000),
        1000,
        'sessions from which on each new one is answered 503 and closed',
      ),
      max_open_sessions_hard: defaulted(
        count(1, 100_000),
        1010,
        'sessions from which on connections are dropped before TLS',
      ),
      forwarding_timeout_ms: defaulted(
        count(1, 600_000),
        3000,
        'milliseconds the primary may take to answer what is forwarded to it',
      ),
      redirections: optionalSection({
        to_primary: redirection('a request that only the primary may execute'),
        to_backup: redirection('a request that a backup should execute'),
      }),
      enabled_operator_features: optional(
        choices(['SnapshotRead', 'LedgerChunkRead']),
        'downloads served here; all of them when absent',
      ),
    }),
  }),
  operator_interface: section({
    bind_address: defaulted(
      address,
      '127.0.0.1:0',
      "the operator's own listener: metrics, readiness, status and signed actions, in plain " +
        'HTTP; port 0 takes a free one',
    ),
  }),
});

const members = listOf(
  section({
    certificate_file: required(path, "a first member's certificate, PEM"),
    encryption_public_key_file: required(
      path,
      "that member's public encryption key, PEM: a recovery share is encrypted to it",
    ),
  }),
);

const residents = listOf(
  section({
    privacyGroupId: required(anyText, "a resident group's id, base64"),
    name: required(anyText, 'its name'),
    description: defaulted(anyText, '', 'its description'),
    members: listOfValues(required(partyKey, 'its members: party keys of the organisation')),
  }),
);

const opens = optionalSection({
  organisations: listOf(
    section({
      name: required(text, 'an organisation whose Quorum node uses the service'),
      certificate_file: required(path, 'the certificate it connects with, PEM; a user too'),
      residents,
    }),
  ),
  party_keys_file: optional(
    path,
    'party keys of organisations, [{node, publicKey, privateKey}], node being the ' +
      "organisation's place in the list from 1; one that is not named gets a new key",
  ),
  multiple_private_states: defaulted(flag, false, 'whether organisations have residents'),
});

const start = optionalSection({
  members,
  service_configuration: section({
    recovery_threshold: defaulted(
      count(1, 255),
      1,
      'recovery shares that together recover the ledger secret',
    ),
  }),
  opens,
});

const join = optionalSection({
  target_rpc_address: required(address, 'a node of the service: where its clients reach it'),
  retry_timeout: defaulted(duration('10ms'), '1s', 'pause before the service is asked again'),
  fetch_recent_snapshot: defaulted(
    flag,
    true,
    'whether to begin from the newest snapshot of the target',
  ),
});

const recover = optionalSection({
  previous_service_identity_file: required(
    path,
    'the certificate that the lost service had last, PEM: only its ledgers are believed',
  ),
  key_release: RECOVERY_RELEASE,
});

const command = section({
  type: required(
    choice(['Start', 'Join', 'Recover']),
    'how this node begins when its folder is empty; a folder with a ledger goes on with it',
  ),
  service_certificate_file: defaulted(
    path,
    'service_cert.pem',
    "the service's certificate: written by a start and a recovery, read by a join",
  ),
  start,
  join,
  recover,
});

/** All settings of a node. */
export const NODE_SCHEMA = section({
  folder: required(path, 'the node keeps its ledger, snapshots and sealed keys here'),
  durability: defaulted(
    choice(['fsync', 'os']),
    'fsync',
    'what acknowledged means: on stable storage, or handed to the operating system',
  ),
  applications: optional(
    choices(['log', 'quorum']),
    'the applications it runs, the same on every node; all of them when absent',
  ),
  network,
  command,
  attestation: ATTESTATION,
  federation: FEDERATION,
  sealing: SEALING,
  consensus: section({
    message_timeout: defaulted(duration('1ms'), '50ms', 'how often a primary shows itself'),
    election_timeout: defaulted(
      duration('10ms'),
      '1s',
      'silence of the primary after which others stand for election, at the latest',
    ),
  }),
  ledger: section({
    chunk_size: defaulted(size('1KB'), '5MB', 'a chunk ends at the first signature beyond it'),
  }),
  ledger_signatures: section({
    kind: defaulted(
      choice(['mixed', 'dual', 'cose', 'raw']),
      'mixed',
      "whose signatures: the node's on every round and the service's now and then (mixed), " +
        'both on all (dual), or only one of them',
    ),
    tx_count: defaulted(count(1, COUNT_MAX), 5000, 'transactions after which one is made'),
    delay: defaulted(duration('1ms'), '3ms', 'time after which one is made, nobody waiting'),
    service_tx_count: defaulted(
      count(1, COUNT_MAX),
      5000,
      "transactions after which the service's own is due (mixed)",
    ),
    service_delay: defaulted(duration('1ms'), '1s', 'time after which it is due (mixed)'),
    issuer: defaulted(text, 'concordat', "issuer in the service's own, the same on every node"),
    subject: defaulted(text, 'ledger.signature', 'subject in them, the same on every node'),
  }),
  snapshots: section({
    tx_count: defaulted(count(1, COUNT_MAX), 10_000, 'transactions after which one is due'),
  }),
  jwt: section({
    key_refresh_interval: defaulted(
      duration('100ms'),
      '30min',
      'how often the primary reads the keys of token issuers that members want kept fresh',
    ),
  }),
  restart: section({
    unproven: defaulted(
      choice(['allow', 'refuse']),
      'refuse',
      'whether to go on by itself when nobody can show that its files are the newest',
    ),
  }),
  output_files: section({
    node_certificate_file: optional(path, "the node's certificate is written here"),
    pid_file: optional(path, 'the process id is written here'),
    rpc_addresses_file: optional(path, 'JSON of the addresses that clients can use'),
    node_to_node_address_file: optional(path, 'the address that nodes use'),
  }),
});
