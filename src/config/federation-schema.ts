/**
 * The settings of federation: with which Tessera nodes outside the service speaks, and how. The
 * same on every node, because any of them may be the primary.
 */
import { defaulted, KINDS, optional, required } from './kinds.ts';
import { listOfValues, optionalSection } from './setting.ts';

const { address, choice, duration, flag, path, text, url } = KINDS;

const tls = optionalSection({
  certificate_file: required(path, "this node's certificate towards peers, PEM"),
  key_file: required(path, 'its private key, PEM'),
  trusted_ca_file: optional(path, "who vouches for peers' certificates, PEM"),
  client_certificates: defaulted(flag, true, 'whether peers that connect must present one'),
});

export const FEDERATION = optionalSection({
  bind_address: defaulted(address, '127.0.0.1:9000', 'where peers reach this node'),
  url: optional(
    url,
    'where peers are told to reach the service; made of bind_address when absent',
  ),
  peers: listOfValues(required(url, 'peers that are known from the start')),
  discovery: defaulted(flag, true, 'whether others may become peers by telling of themselves'),
  key_validation: defaulted(flag, true, 'whether peers must show that they hold their keys'),
  whitelist: listOfValues(
    required(text, 'an address that may connect, or a host that may be a peer; any when empty'),
  ),
  party_info_interval: defaulted(
    duration('100ms'),
    '5s',
    'how often peers are told of the keys inside',
  ),
  send: defaulted(
    choice(['strict', 'queued']),
    'strict',
    'strict: a send is answered when every recipient outside has the payload, else 410 after ' +
      '4 s; queued: it is answered at commit, and delivered as soon as the peer is there',
  ),
  tls,
});
