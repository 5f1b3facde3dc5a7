/**
 * A Tessera configuration turned into ours: party keys, residents, the connector's settings, the
 * federation's. What has no counterpart is said, with the reason; nothing is dropped in silence.
 */
import type { ResidentRow } from '../../apps/organisations.ts';
import { base64Of, utf8 } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import type { PartyKeyPair } from '../../crypto/party-keys.ts';
import { type Fields, isFields, isTrue, textOf, textsOf } from './tessera-config.ts';
import { readKeys } from './tessera-keys.ts';
import { type ConnectorSettings, type PeerListener, readServers } from './tessera-servers.ts';
import { notesOnNames, type SettingNote } from './tessera-settings.ts';

/** `federation` of a node's configuration (docs/configuration.md). */
export interface FederationSettings extends Partial<PeerListener> {
  readonly peers: readonly string[];
  readonly send: 'strict' | 'queued';
  readonly key_validation: boolean;
  readonly discovery: boolean;
  readonly whitelist: readonly string[];
}

export interface Converted {
  readonly keys: readonly PartyKeyPair[];
  readonly residents: readonly ResidentRow[];
  readonly multiplePrivateStates: boolean;
  readonly connector: ConnectorSettings;
  readonly federation: FederationSettings;
  readonly notes: readonly SettingNote[];
}

export interface ConversionOptions {
  /** Where the configuration lies: its relative paths start there. */
  readonly path: string;
  readonly passwordFile?: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly progress: (text: string) => void;
}

export async function convertConfig(
  config: Fields,
  { path, passwordFile, environment, progress }: ConversionOptions,
): Promise<Converted> {
  const encryptor = notesOnEncryptor(config);
  const keys = await readKeys(config, path, passwordFile, progress);
  const servers = readServers(config, path, environment);
  const residents = residentsOf(config);
  const { federation, notes } = federationOf(config, servers.peerListener);
  return {
    keys: keys.pairs,
    residents,
    multiplePrivateStates: feature(config, 'enableMultiplePrivateStates'),
    connector: servers.connector,
    federation,
    notes: [
      ...notesOnNames(config),
      ...encryptor,
      ...keys.notes,
      ...servers.notes,
      ...notes,
      ...notesOnResidents(config, residents),
      ...notesOnParties(config),
      ...notesOnMode(config),
    ],
  };
}

function feature(config: Fields, name: string): boolean {
  return isFields(config.features) && isTrue(config.features[name]);
}

/** Keys and payloads of another curve cannot be taken over at all. */
function notesOnEncryptor(config: Fields): readonly SettingNote[] {
  if (!isFields(config.encryptor)) return [];
  const type = (textOf(config.encryptor.type) ?? 'NACL').toUpperCase();
  if (type === 'NACL') {
    return [{ setting: 'encryptor.type', kind: 'taken', text: 'NaCl, the one there is' }];
  }
  throw new CodedError(
    'ForeignEncryptor',
    `encryptor.type is ${type}; party keys here are NaCl's (Curve25519). Payloads sealed for ` +
      'keys of another curve cannot be read: give the organisation new keys, or stay with Tessera',
  );
}

function federationOf(
  config: Fields,
  listener: PeerListener | undefined,
): { readonly federation: FederationSettings; readonly notes: readonly SettingNote[] } {
  const listed = Array.isArray(config.peer) ? (config.peer as readonly unknown[]) : [];
  const own = listener === undefined ? undefined : plainUrl(listener.url);
  const urls = listed.flatMap((peer) => textsOf(isFields(peer) ? peer.url : peer));
  const peers = [...new Set(urls.map(plainUrl))].filter((url) => url !== own);
  const keyValidation = feature(config, 'enableRemoteKeyValidation');
  const closed = isTrue(config.useWhiteList) || isTrue(config.disablePeerDiscovery);
  const hosts = peers.flatMap((url) => (URL.canParse(url) ? [new URL(url).hostname] : []));
  const whitelist = isTrue(config.useWhiteList) ? [...new Set(hosts)] : [];
  const notes: SettingNote[] = [];
  if (peers.length > 0) {
    notes.push({ setting: 'peer', kind: 'taken', text: `federation.peers ${peers.join(' ')}` });
  }
  if (isTrue(config.useWhiteList)) {
    const text = `federation.whitelist ${whitelist.join(' ')}, federation.discovery false`;
    notes.push({ setting: 'useWhiteList', kind: 'taken', text });
  }
  if (isTrue(config.disablePeerDiscovery)) {
    const text = 'federation.discovery false';
    notes.push({ setting: 'disablePeerDiscovery', kind: 'taken', text });
  }
  const setting = 'features.enableRemoteKeyValidation';
  if (keyValidation) {
    notes.push({ setting, kind: 'taken', text: 'federation.key_validation true' });
  } else {
    const text =
      'it is off, so anybody could claim a key; federation.key_validation is true all the same. ' +
      'Peers of Tessera answer the challenge whatever they are set to';
    notes.push({ setting, kind: 'warning', text });
  }
  const federation: FederationSettings = {
    ...listener,
    peers,
    send: 'strict',
    key_validation: true,
    discovery: !closed,
    whitelist,
  };
  return { federation, notes };
}

/** Tessera counts an address with and without a slash at its end as one. */
function plainUrl(url: string): string {
  return url.trim().replace(/\/+$/, '');
}

function residentsOf(config: Fields): readonly ResidentRow[] {
  const groups = Array.isArray(config.residentGroups) ? config.residentGroups : [];
  return groups.flatMap((group: unknown) => {
    const name = isFields(group) ? textOf(group.name) : undefined;
    if (!isFields(group) || name === undefined) return [];
    return [
      {
        // As Tessera makes it: the name itself.
        privacyGroupId: base64Of(utf8(name)),
        name,
        description: textOf(group.description) ?? '',
        members: textsOf(group.members),
      },
    ];
  });
}

function notesOnResidents(
  config: Fields,
  residents: readonly ResidentRow[],
): readonly SettingNote[] {
  const on = feature(config, 'enableMultiplePrivateStates');
  if (residents.length === 0 && !on) return [];
  const names = residents.map(({ name }) => name).join(', ');
  if (!on) {
    const text = 'multiple private states are off, so residents are not looked at';
    return [{ setting: 'residentGroups', kind: 'warning', text }];
  }
  return [
    {
      setting: 'features.enableMultiplePrivateStates',
      kind: 'taken',
      text: 'command.start.opens.multiple_private_states true',
    },
    { setting: 'residentGroups', kind: 'taken', text: `residents ${names || 'none'}` },
  ];
}

function notesOnParties(config: Fields): readonly SettingNote[] {
  const always = textsOf(config.alwaysSendTo);
  if (always.length === 0) return [];
  return [
    {
      setting: 'alwaysSendTo',
      kind: 'no counterpart',
      text:
        `a payload goes to the parties it names and to nobody behind their backs; name ` +
        `${always.join(', ')} in privateFor, or in a privacy group`,
    },
  ];
}

function notesOnMode(config: Fields): readonly SettingNote[] {
  const mode = textOf(config.mode)?.toLowerCase();
  if (mode === undefined || mode === 'tessera') return [];
  const text = `${mode} speaks to Besu; a connector speaks to GoQuorum alone`;
  return [{ setting: 'mode', kind: 'no counterpart', text }];
}
