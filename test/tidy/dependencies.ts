// Checks that what is imported is declared, what is declared is used, and the top folder is tidy.

import { importsOf, packageOf } from './imports.ts';
import { type Check, isScript, isShipped, type SourceFile } from './source-files.ts';

export interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** What may lie in the top folder, besides files whose name begins with a dot. */
const TOP: readonly string[] = [
  ...['package.json', 'package-lock.json', 'tsconfig.json', 'README.md', 'LICENSE'],
  ...['SECURITY.md', 'CHANGELOG.md', 'src', 'enclave-policy', 'proto', 'bench', 'test'],
  ...['docs', 'deploy'],
];

export const topFolderIsTidy: Check = (files) => {
  const tops = new Set(files.map(({ path }) => path.split('/')[0] ?? ''));
  return [...tops]
    .filter((top) => !top.startsWith('.') && !TOP.includes(top))
    .map((top) => `${top}: does not belong in the top folder`);
};

export function importsAreDeclared(manifest: Manifest): Check {
  const shipped = Object.keys(manifest.dependencies ?? {});
  const development = [...shipped, ...Object.keys(manifest.devDependencies ?? {})];
  return (files) =>
    packageImports(files).flatMap(({ path, line, name }) =>
      (isShipped(path) ? shipped : development).includes(name)
        ? []
        : [`${path}:${line}: ${name} is not declared for this in package.json`],
    );
}

/** `awaited` dependencies are declared ahead of the room that will use them. */
export function dependenciesAreUsed(manifest: Manifest, awaited: readonly string[]): Check {
  return (files) => {
    const used = new Set(
      packageImports(files.filter(({ path }) => isShipped(path))).map(({ name }) => name),
    );
    return Object.keys(manifest.dependencies ?? {})
      .filter((name) => !used.has(name) && !awaited.includes(name))
      .map((name) => `package.json: nothing in src/ imports ${name}`);
  };
}

/** The runtime is one version on every platform, and exact. */
export function runtimeIsPinned(manifest: Manifest): readonly string[] {
  const versions = Object.values(manifest.optionalDependencies ?? {});
  const exact = versions.every((version) => /^\d+\.\d+\.\d+$/.test(version));
  return exact && new Set(versions).size === 1
    ? []
    : [`package.json: optionalDependencies are ${versions.join(', ')}`];
}

function packageImports(
  files: readonly SourceFile[],
): readonly { readonly path: string; readonly line: number; readonly name: string }[] {
  return files
    .filter(({ path }) => isScript(path))
    .flatMap(importsOf)
    .flatMap(({ path, line, specifier }) => {
      const name = specifier === undefined ? undefined : packageOf(specifier);
      return name === undefined ? [] : [{ path, line, name }];
    });
}
