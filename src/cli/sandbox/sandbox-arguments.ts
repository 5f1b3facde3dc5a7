/**
 * The options that `start` and `sandbox` share.
 */
import { parseArgs } from 'node:util';
import { CodedError } from '../../base/errors.ts';
import { readNodeSettings } from './node-settings.ts';
import { readResidents } from './residents.ts';
import { MEMBERS_DEFAULT, NODES_DEFAULT, type SandboxOptions } from './sandbox.ts';

/** Where a sandbox lies when nobody says. */
export const DATA_DEFAULT = '.concordat';
/** Leaves room for the highest of the usual ports, 91xx. */
const PORT_OFFSET_MAX = 50_000;

export const SANDBOX_USAGE = `\
  --data DIR            keep the sandbox in DIR (default: ${DATA_DEFAULT});
                        a later start goes on there
  --nodes N             as many nodes, each a process of its own (default: ${NODES_DEFAULT})
  --no-restart-nodes    let a node that ends stay away, instead of starting it again
  --organisations N     as many organisations, each with its transaction manager (default: 3)
  --members N           as many members, each with a recovery share (default: ${MEMBERS_DEFAULT})
  --party-keys FILE     JSON list of {node, publicKey, privateKey}; node is the
                        organisation's number, its first key is its default, and
                        those of organisations beyond N are ignored
  --residents FILE      JSON object of residents by organisation: turns multiple private states on
  --durability KIND     fsync (default): acknowledged means on stable storage;
                        os: handed to the operating system
  --port-offset N       add N to each usual port (8000 to 8003, 8500, 9101, …), so that a second
                        sandbox has ports of its own; counts at the first start
  --node-settings FILE  JSON of settings for every node, laid over the sandbox's own:
                        docs/configuration.md has them
  --federation KIND     speak with Tessera nodes outside; strict: a send is answered when they
                        have the payload; queued: at commit
  --peer URL            one of those nodes; they may also tell of themselves
  --json                one JSON line when ready instead of a table`;

export interface SandboxArguments {
  readonly options: Omit<SandboxOptions, 'data'>;
  readonly data: string | undefined;
  readonly json: boolean;
  readonly demo: boolean;
}

/** Reads the options; throws `Usage` or what `parseArgs` throws for words that are not options. */
export function sandboxArguments(args: readonly string[]): SandboxArguments {
  const { values } = parseArgs({
    args: [...args],
    strict: true,
    allowNegative: true,
    allowPositionals: false,
    options: {
      data: { type: 'string' },
      nodes: { type: 'string' },
      'restart-nodes': { type: 'boolean', default: true },
      organisations: { type: 'string' },
      members: { type: 'string' },
      'party-keys': { type: 'string' },
      residents: { type: 'string' },
      'node-settings': { type: 'string' },
      durability: { type: 'string' },
      'port-offset': { type: 'string' },
      federation: { type: 'string' },
      peer: { type: 'string', multiple: true },
      json: { type: 'boolean' },
      demo: { type: 'boolean' },
    },
  });
  const organisations = wholeNumber('--organisations', values.organisations);
  const nodes = wholeNumber('--nodes', values.nodes);
  const members = wholeNumber('--members', values.members);
  const portOffset = portOffsetOf(values['port-offset']);
  const partyKeys = values['party-keys'];
  const nodeSettings = values['node-settings'];
  return {
    data: values.data,
    json: values.json === true,
    demo: values.demo === true,
    options: {
      durability: durabilityOf(values.durability),
      restartNodes: values['restart-nodes'],
      ...(nodes === undefined ? {} : { nodes }),
      ...(organisations === undefined ? {} : { organisations }),
      ...(members === undefined ? {} : { members }),
      ...(portOffset === undefined ? {} : { portOffset }),
      ...(partyKeys === undefined ? {} : { partyKeysFile: partyKeys }),
      ...(nodeSettings === undefined ? {} : { nodeSettings: readNodeSettings(nodeSettings) }),
      ...federationOf(values.federation, values.peer),
      ...(values.residents === undefined ? {} : { residents: readResidents(values.residents) }),
    },
  };
}

function wholeNumber(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new CodedError('Usage', `${option} is ${JSON.stringify(text)}, not a whole number`);
}

function portOffsetOf(text: string | undefined): number | undefined {
  const offset = wholeNumber('--port-offset', text);
  if (offset === undefined || offset <= PORT_OFFSET_MAX) return offset;
  const said = `--port-offset is ${offset}; it is at most ${PORT_OFFSET_MAX}`;
  throw new CodedError('Usage', said);
}

function federationOf(
  send: string | undefined,
  peers: readonly string[] = [],
): Pick<SandboxOptions, 'federation'> {
  if (send === undefined) {
    if (peers.length === 0) return {};
    throw new CodedError('Usage', '--peer is for a sandbox with --federation; that is missing');
  }
  if (send === 'strict' || send === 'queued') return { federation: { send, peers } };
  const said = JSON.stringify(send);
  throw new CodedError('Usage', `--federation is ${said}; it is strict or queued`);
}

function durabilityOf(text: string | undefined): SandboxOptions['durability'] {
  if (text === undefined || text === 'fsync' || text === 'os') return text ?? 'fsync';
  throw new CodedError('Usage', `--durability is ${JSON.stringify(text)}; it is fsync or os`);
}
