/** `concordat connector`: serves a Quorum node in Tessera's place. */
import { judgeBy, type NodeJudge } from '../client/node-judge.ts';
import { type ConnectorOptions, startConnector } from '../connector/connector.ts';
import { nodeVerifier } from '../crypto/verifier-node.ts';
import { realClock } from '../node/real-time.ts';
import type { Command, CommandIo } from './command.ts';
import { runDoctor } from './connector/doctor.ts';
import { watchFiles } from './connector/renewal.ts';
import { optionsOf, parse, policyOf, type Settings, settingsOf } from './connector/settings.ts';

const USAGE = `concordat connector --config FILE
concordat connector --service URL --service-certificate FILE --certificate FILE --key FILE
                    [--socket PATH [--socket-mode MODE] [--socket-group GROUP]]
                    [--port PORT] [--third-party-port PORT] [--host ADDRESS]
                    [--allow-host NAME]… [--allow-origin ORIGIN]… [--json]
                    [--tls-certificate FILE --tls-key FILE [--tls-client-ca FILE]]
                    [--health-port PORT [--health-host ADDRESS]] [--doctor]
                    --attestation-policy FILE | --allow-insecure-virtual

Serves a Unix socket (tm.ipc) and, if asked to, loopback ports to a Quorum node, and relays
every request to the service with the organisation's certificate. --service names a node
to begin with, and may be given several times, the one to read from first; the service's
own list tells of all others, of those that join and of those that leave. When a node does
not answer, another one is asked; what is written is done once all the same.

Before a node is told anything, its attestation evidence is judged: it must be accepted by
the policy and be bound to the key that holds the session. --allow-insecure-virtual accepts
nodes without any proof, which is for development alone.

With --tls-certificate the ports speak TLS; with --tls-client-ca they also ask for a certificate
of one of these authorities (GoQuorum: --ptm.tls.mode strict), and only then --host may be
another address than a loopback one. Certificates and keys that are renewed in their files are
taken over within seconds, for new connections. --health-port serves /upcheck and /metrics,
nothing else.

--doctor serves nothing: it tries each step that a connector needs, says what it finds and how
to repair what is wrong, and ends with 0 if all is well, 1 if something is wrong and 3 if
something could not be looked at.

A configuration file is JSON with the same names in camel case (serviceCertificate,
socketMode, allowHost: […], …); its paths are relative to it, and what is given as a flag
wins.`;

export const command: Command = {
  name: 'connector',
  summary: 'serve a Quorum node in the place of its private transaction manager',
  usage: USAGE,
  run: async (args, io) => {
    const { values } = parse(args);
    const asJson = values.json === true;
    const settings = await settingsOf(values);
    const options = await optionsOf(settings);
    const policy = await policyOf(settings);
    if (values.doctor === true) return await runDoctor(options, policy, asJson, io);
    const judge = judgeBy(policy, {
      verifier: nodeVerifier,
      clock: realClock,
      onRefused: (message) => io.err(message),
    });
    return await runUntilStopped({ options, settings }, judge, asJson, io);
  },
};

async function runUntilStopped(
  { options, settings }: { readonly options: ConnectorOptions; readonly settings: Settings },
  judge: NodeJudge,
  asJson: boolean,
  io: CommandIo,
): Promise<number> {
  const log = (line: string): void => io.err(line);
  const connector = await startConnector(options, { judge, log });
  const stopWatching = watchFiles(settings, options, { connector, log });
  const { socketPath, url, thirdPartyUrl, healthUrl } = connector;
  if (asJson) {
    const transactionManager = { url, socket: socketPath };
    io.out(
      JSON.stringify({
        ready: true,
        transactionManager,
        thirdParty: { url: thirdPartyUrl },
        health: { url: healthUrl },
      }),
    );
  } else {
    if (socketPath !== undefined) io.out(`transaction manager  ${socketPath}`);
    if (url !== undefined) io.out(`transaction manager  ${url}`);
    if (thirdPartyUrl !== undefined) io.out(`third party          ${thirdPartyUrl}`);
    if (healthUrl !== undefined) io.out(`health and metrics   ${healthUrl}`);
  }
  await new Promise<void>((stopped) => {
    if (io.signal.aborted) stopped();
    else io.signal.addEventListener('abort', () => stopped(), { once: true });
  });
  stopWatching();
  await connector.close();
  return 0;
}
