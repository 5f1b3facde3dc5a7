/**
 * All nodes of a sandbox, from the first one alone to a service of several, and back at each start.
 */
import { existsSync } from 'node:fs';
import type { NodeLog } from '../../node/node-options.ts';
import type { NodeReadyLine } from '../node/node-ready.ts';
import { NodeChild } from './node-child.ts';
import { nodeConfiguration, type SandboxPlan } from './node-configuration.ts';
import { type HeldPorts, LOOPBACK } from './ports.ts';
import { portNames } from './sandbox-folder.ts';
import { type StartedNode, trustNodes } from './trusting.ts';

export interface ClusterOptions {
  readonly plan: SandboxPlan;
  /** Numbers of the nodes. */
  readonly numbers: readonly number[];
  /** Whether a node that ends is started again. */
  readonly restarts: boolean;
}

export interface ClusterDependencies {
  readonly ports: HeldPorts;
  readonly log: NodeLog;
  /** A member removed this node: it is gone for good. */
  readonly onLeft: (number: number) => void;
  /** It runs again: as another node, if its folder was gone. */
  readonly onBack: (number: number, nodeId: string) => void;
}

export class NodeCluster {
  readonly #options: ClusterOptions;
  readonly #deps: ClusterDependencies;
  readonly #children: NodeChild[] = [];

  constructor(options: ClusterOptions, dependencies: ClusterDependencies) {
    this.#options = options;
    this.#deps = dependencies;
  }

  /** Starts all; resolves when all are ready, and rejects as soon as one cannot be. */
  async start(): Promise<readonly NodeReadyLine[]> {
    const { plan, numbers } = this.#options;
    const nodes: (StartedNode & { readonly ready: Promise<NodeReadyLine> })[] = [];
    for (const number of numbers) {
      const address = `${LOOPBACK}:${this.#deps.ports.of(portNames(number).rpc)}`;
      const ready = this.#startNode(number);
      nodes.push({ number, address, ready });
      // Joiners must be told whose service they join; when all start again, no node is ready
      // before a majority of them is there.
      if (!existsSync(plan.folder.serviceCertificate)) await ready;
    }
    const ready = Promise.all(nodes.map((node) => node.ready));
    if (nodes.length > 1) await trustNodes(plan.folder, nodes, this.#deps.log);
    return await ready;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.stop()));
  }

  async #startNode(number: number): Promise<NodeReadyLine> {
    const { plan, restarts, numbers } = this.#options;
    const { ports, log, onLeft, onBack } = this.#deps;
    log.info(`starting node ${number}`);
    const action = number === 1 ? 'start' : 'join';
    const config = nodeConfiguration(plan, number, numbers[0] ?? 1);
    const child = new NodeChild({ number, action, config, restarts }, { log, onLeft, onBack });
    this.#children.push(child);
    for (const name of Object.values(portNames(number))) await ports.release(name);
    return await child.start();
  }
}
