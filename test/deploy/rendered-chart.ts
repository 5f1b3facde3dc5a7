/** The Helm chart as Kubernetes would get it: rendered by a real helm, read as YAML. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';

const run = promisify(execFile);
const CHART = join(import.meta.dirname, '../../deploy/helm/concordat');
/** What helm takes the cluster for. */
const KUBERNETES = '1.30.0';

export type Tree = { readonly [name: string]: unknown };

export interface Manifest extends Tree {
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

/** All manifests of a release named `t`; rejects with what helm says against the values. */
export async function rendered(
  helm: string,
  folder: string,
  values: Tree,
): Promise<readonly Manifest[]> {
  const file = join(folder, 'values.json');
  writeFileSync(file, JSON.stringify(values));
  const args = ['template', 't', CHART, '--namespace', 'ns', '--values', file];
  const { stdout } = await run(helm, [...args, '--kube-version', KUBERNETES]);
  return parseAllDocuments(stdout).flatMap((document) => {
    if (document.errors.length > 0) throw new Error(document.errors.join('\n'));
    const value: unknown = document.toJS();
    return value === null ? [] : [value as Manifest];
  });
}

export function find(manifests: readonly Manifest[], kind: string, name: string): Manifest {
  const found = manifests.find((one) => one.kind === kind && one.metadata.name === name);
  if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
  return found;
}

/** What lies at a path; undefined where there is nothing. */
export function at(tree: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (value, name) =>
      typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined,
    tree,
  );
}

export function listAt(tree: unknown, ...path: readonly (string | number)[]): readonly Tree[] {
  const found = at(tree, ...path);
  return Array.isArray(found) ? (found as readonly Tree[]) : [];
}

/** Whether labels are such that a selector finds them. */
export function selects(selector: unknown, labels: unknown): boolean {
  const wanted = Object.entries((selector ?? {}) as Tree);
  return wanted.length > 0 && wanted.every(([name, value]) => at(labels, name) === value);
}
