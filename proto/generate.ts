// Makes the modules in src/node/peers/generated/ from the .proto files beside it:
// `node proto/generate.ts`.
//
// protobufjs' own static modules are JavaScript with types beside them; src/ holds TypeScript only.
// So this takes protobufjs' parser and writes what it would, in the few shapes that these files
// have: for a message a readonly interface, `write…`, `read…` and, if sizes vary, `size…Max`;
// a oneof is a union told apart by `kind`; an enumeration is a union of names. Whatever else a
// .proto may hold is an error.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import protobuf from 'protobufjs';

const root = resolve(import.meta.dirname, '..');
const GENERATED = join(root, 'src/node/peers/generated');
/** In this order: each may use what those before it define. */
const NAMES = ['options', 'consensus', 'forwarding', 'node'];

/** Wire types (protobuf.dev, "Encoding"). */
const VARINT = 0;
const DELIMITED = 2;

const upperSnake = (name: string): string =>
  name.replace(/(?<=[a-z0-9])[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
const lines = (...parts: readonly string[]): string => parts.join('\n');

/** How fields of one type are spelled. */
interface Shape {
  /** The type in TypeScript. */
  readonly type: string;
  readonly wire: number;
  /** Reads a value. */
  readonly read: string;
  /** Statement that writes a field, or an optional one. */
  put(tag: number, value: string, optional: boolean): string;
  /** Statement that writes an item of a repeated field. */
  putItem?(tag: number, item: string): string;
  /** What the field holds when it did not come; none for what must come. */
  readonly absent?: string;
  /** Bytes of a value beyond `FIELD_BYTES_MAX`, at most; none if it has no more. */
  size?(value: string): string;
}

const scalar = (
  type: string,
  wire: number,
  put: string,
  read: string,
  absent: string,
): Shape => ({
  type,
  wire,
  read,
  absent,
  put(tag, value, optional) {
    if (optional) throw new Error(`there is no optional ${type} yet`);
    return `wire.${put}(writer, ${tag}, ${value});`;
  },
});

const SCALARS: Readonly<Record<string, Shape>> = {
  uint64: scalar('number', VARINT, 'putU64', 'wire.readU64(reader)', '0'),
  uint32: scalar('number', VARINT, 'putU32', 'reader.uint32()', '0'),
  bool: scalar('boolean', VARINT, 'putBool', 'reader.bool()', 'false'),
  string: {
    ...scalar('string', DELIMITED, 'putString', 'reader.stringVerify()', `''`),
    size: (value) => `3 * ${value}.length`,
  },
  bytes: {
    type: 'Uint8Array',
    wire: DELIMITED,
    read: 'reader.bytes()',
    absent: 'NO_BYTES',
    put: (tag, value, optional) =>
      `wire.${optional ? 'putOptionalBytes' : 'putBytes'}(writer, ${tag}, ${value});`,
    putItem: (tag, item) => `writer.uint32(${tag}).bytes(${item})`,
    size: (value) => `${value}.length`,
  },
};

function shapeOf(field: protobuf.Field): Shape {
  if (field instanceof protobuf.MapField) throw new Error(`no shape for map ${field.name}`);
  const known = SCALARS[field.type];
  if (known !== undefined) return known;
  const target = field.parent?.lookup(field.type);
  if (target instanceof protobuf.Enum) return shapeOfEnum(target.name);
  if (target instanceof protobuf.Type) return shapeOfMessage(target);
  throw new Error(`no shape for ${field.type}`);
}

function shapeOfEnum(name: string): Shape {
  const names = `${upperSnake(name)}_NAMES`;
  return {
    type: name,
    wire: VARINT,
    read: `wire.readEnum(reader, ${names}, '${name}')`,
    put: (tag, value) => `wire.putU32(writer, ${tag}, ${names}.indexOf(${value}));`,
  };
}

function shapeOfMessage(type: protobuf.Type): Shape {
  const { name } = type;
  const put = (tag: number, value: string): string =>
    `wire.putMessage(writer, ${tag}, ${value}, write${name})`;
  return {
    type: name,
    wire: DELIMITED,
    read: `read${name}(wire.readNested(reader))`,
    put: (tag, value) => `${put(tag, value)};`,
    putItem: put,
    size: (value) => (hasFixedSize(type) ? fixedSize(type) : `size${name}Max(${value})`),
  };
}

/** Whether the fields alone say how long a message can be, whatever they hold. */
const hasFixedSize = (type: protobuf.Type): boolean =>
  type.fieldsArray.every(
    (field) => !field.repeated && oneofOf(field) === undefined && !shapeOf(field).size,
  );

const fixedSize = (type: protobuf.Type): string =>
  `${type.fieldsArray.length} * wire.FIELD_BYTES_MAX`;

const tagOf = (field: protobuf.Field): number => field.id * 8 + shapeOf(field).wire;
const isOptional = (field: protobuf.Field): boolean => field.options?.proto3_optional === true;
const oneofOf = (field: protobuf.Field): protobuf.OneOf | undefined =>
  isOptional(field) ? undefined : (field.partOf ?? undefined);

const countMaxOf = (field: protobuf.Field): string =>
  `${upperSnake(field.parent?.name ?? '')}_${upperSnake(field.name)}_COUNT_MAX`;

function countConstant(field: protobuf.Field): string {
  const count: unknown = field.options?.['(max_count)'];
  if (typeof count !== 'number') throw new Error(`${field.name} needs a max_count`);
  return `export const ${countMaxOf(field)} = ${count};`;
}

const doc = (comment: string | null | undefined): string => {
  if (comment === null || comment === undefined || comment === '') return '';
  const text = comment.split('\n');
  return text.length === 1
    ? `/** ${comment} */\n`
    : `${lines('/**', ...text.map((line) => ` * ${line}`), ' */')}\n`;
};

function enumeration(type: protobuf.Enum): string {
  const prefix = `${upperSnake(type.name)}_`;
  const names = Object.entries(type.values).map(([name, value], at) => {
    if (value !== at || !name.startsWith(prefix)) throw new Error(`${name}: gap or prefix`);
    return name.slice(prefix.length).toLowerCase().replaceAll('_', '-');
  });
  if (names.shift() !== 'unspecified') throw new Error(`${type.name} has a meaningful default`);
  const list = names.map((name) => `'${name}'`);
  return lines(
    `${doc(type.comment)}export type ${type.name} = ${list.join(' | ')};`,
    `const ${upperSnake(type.name)}_NAMES: readonly (${type.name} | undefined)[] = ` +
      `[undefined, ${list.join(', ')}];`,
  );
}

/** A message taken apart: its fields outside of any union, and its unions. */
interface Parts {
  readonly name: string;
  readonly plain: readonly protobuf.Field[];
  readonly unions: readonly protobuf.OneOf[];
}

function message(type: protobuf.Type): string {
  const parts: Parts = {
    name: type.name,
    plain: type.fieldsArray.filter((field) => oneofOf(field) === undefined),
    unions: type.oneofsArray.filter((each) => !each.name.startsWith('_')),
  };
  return lines(
    ...parts.plain.filter((field) => field.repeated).map(countConstant),
    ...parts.unions.map((union) => unionType(parts, union)),
    `${doc(type.comment)}${interfaceOf(parts)}`,
    '',
    ...(hasFixedSize(type) ? [] : [sizeFunction(parts), '']),
    writeFunction(parts),
    '',
    readFunction(parts, type.fieldsArray),
  );
}

const unionName = ({ name }: Parts, union: protobuf.OneOf): string =>
  `${name}${union.name.charAt(0).toUpperCase()}${union.name.slice(1)}`;

const unionType = (parts: Parts, union: protobuf.OneOf): string =>
  lines(
    `export type ${unionName(parts, union)} =`,
    ...union.fieldsArray.map(
      (field) => `| { readonly kind: '${field.name}'; readonly value: ${shapeOf(field).type} }`,
    ),
    ';\n',
  );

function interfaceOf(parts: Parts): string {
  const members = parts.plain.map((field) => {
    const { type } = shapeOf(field);
    const optional = `${type}${isOptional(field) ? ' | undefined' : ''}`;
    const whole = field.repeated ? `readonly ${type}[]` : optional;
    return `${doc(field.comment)}readonly ${field.name}: ${whole};`;
  });
  return lines(
    `export interface ${parts.name} {`,
    ...members,
    ...parts.unions.map((union) => `readonly ${union.name}: ${unionName(parts, union)};`),
    '}',
  );
}

/** One `switch` over what a union holds. */
const switchOver = (union: protobuf.OneOf, arm: (field: protobuf.Field) => string): string =>
  lines(
    `switch (message.${union.name}.kind) {`,
    ...union.fieldsArray.map((field) => `case '${field.name}': ${arm(field)} break;`),
    '}',
  );

function sizeFunction({ name, plain, unions }: Parts): string {
  const fixed = plain.filter((field) => !field.repeated).length + unions.length;
  const sizes = plain.flatMap((field) => {
    const value = `message.${field.name}`;
    const { size } = shapeOf(field);
    if (field.repeated) {
      const more = size === undefined ? '' : ` + ${size('item')}`;
      return [`for (const item of ${value}) size += wire.FIELD_BYTES_MAX${more};`];
    }
    if (size === undefined) return [];
    const guard = isOptional(field) ? `if (${value} !== undefined) ` : '';
    return [`${guard}size += ${size(value)};`];
  });
  return lines(
    '/** At most so many bytes are written for it. */',
    `export function size${name}Max(message: ${name}): number {`,
    `let size = ${fixed} * wire.FIELD_BYTES_MAX;`,
    ...sizes,
    ...unions.map((union) =>
      switchOver(
        union,
        (field) => `size += ${shapeOf(field).size?.(`message.${union.name}.value`) ?? 0};`,
      ),
    ),
    'return size;',
    '}',
  );
}

function writeFunction({ name, plain, unions }: Parts): string {
  const writes = plain.map((field) => {
    const value = `message.${field.name}`;
    const shape = shapeOf(field);
    if (!field.repeated) return shape.put(tagOf(field), value, isOptional(field));
    const put = shape.putItem?.(tagOf(field), 'item');
    if (put === undefined) throw new Error(`there is no repeated ${field.type} yet`);
    const list = `${value}, ${countMaxOf(field)}, '${field.name}'`;
    return `wire.putItems(${list}, (item) => ${put});`;
  });
  return lines(
    `export function write${name}(writer: WireWriter, message: ${name}): void {`,
    ...writes,
    ...unions.map((union) =>
      switchOver(union, (field) =>
        shapeOf(field).put(tagOf(field), `message.${union.name}.value`, false),
      ),
    ),
    '}',
  );
}

function readFunction(parts: Parts, all: readonly protobuf.Field[]): string {
  const { name, plain, unions } = parts;
  const mustCome = (field: protobuf.Field): boolean =>
    !field.repeated && !isOptional(field) && shapeOf(field).absent === undefined;
  const variables = plain.map((field) => {
    const { type, absent } = shapeOf(field);
    if (field.repeated) return `const ${field.name}: ${type}[] = [];`;
    if (isOptional(field) || absent === undefined) {
      return `let ${field.name}: ${type} | undefined;`;
    }
    return `let ${field.name}${type === 'Uint8Array' ? `: ${type}` : ''} = ${absent};`;
  });
  const cases = all.map((field) => {
    const { read } = shapeOf(field);
    const union = oneofOf(field);
    const list = `${field.name}, ${read}, ${countMaxOf(field)}, '${field.name}'`;
    let statement = `${field.name} = ${read};`;
    if (union) statement = `${union.name} = { kind: '${field.name}', value: ${read} };`;
    if (field.repeated) statement = `wire.appendTo(${list});`;
    return `case ${tagOf(field)}: ${statement} break;`;
  });
  const checked = (each: string): string => `${each}: wire.required(${each}, '${each}')`;
  const results = [
    ...plain.map((field) => (mustCome(field) ? checked(field.name) : field.name)),
    ...unions.map((union) => checked(union.name)),
  ];
  return lines(
    `export function read${name}(reader: WireReader): ${name} {`,
    ...variables,
    ...unions.map((union) => `let ${union.name}: ${unionName(parts, union)} | undefined;`),
    'while (reader.pos < reader.len) {',
    'const tag = reader.tag();',
    'switch (tag) {',
    ...cases,
    'default: wire.skipField(reader, tag);',
    '}',
    '}',
    `return { ${results.join(', ')} };`,
    '}',
  );
}

type Definition = protobuf.Enum | protobuf.Type;

/** What each file defines, all in one scope, so that a file finds what it imports. */
function definitions(files: ReadonlyMap<string, string>): ReadonlyMap<string, Definition[]> {
  const shared = new protobuf.Root();
  const seen = new Set<protobuf.ReflectionObject>();
  return new Map(
    [...files].map(([name, proto]) => {
      const { package: scopeName } = protobuf.parse(proto, shared, {
        alternateCommentMode: true,
      });
      const scope = shared.lookup(scopeName ?? '');
      if (!(scope instanceof protobuf.Namespace)) throw new Error(`${name} names no package`);
      const fresh = scope.nestedArray.filter((each) => !seen.has(each));
      for (const each of fresh) seen.add(each);
      return [name, fresh.flatMap((each) => definitionOf(each))];
    }),
  );
}

function definitionOf(each: protobuf.ReflectionObject): readonly Definition[] {
  if (each instanceof protobuf.Enum || each instanceof protobuf.Type) return [each];
  if (each instanceof protobuf.Field && each.extend !== undefined) return [];
  throw new Error(`no shape for ${each.name}`);
}

/** Names that the code uses of what other files define, by file. */
function importsFrom(
  all: ReadonlyMap<string, Definition[]>,
  own: string,
  code: string,
): string {
  const others = [...all].filter(([name]) => name !== own);
  return others
    .flatMap(([name, defined]) => {
      const used = defined
        .flatMap(({ name: type }) => [
          `type ${type}`,
          `size${type}Max`,
          `read${type}`,
          `write${type}`,
        ])
        .filter((each) => new RegExp(`\\b${each.replace('type ', '')}\\b`).test(code));
      return used.length === 0 ? [] : [`import { ${used.join(', ')} } from './${name}.ts';`];
    })
    .join('\n');
}

/** Modules by name for the texts of .proto files by name, each text as it should lie on disk. */
export function generate(files: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const all = definitions(files);
  const modules = new Map<string, string>();
  for (const [name, defined] of all) {
    if (defined.length === 0) continue;
    const code = defined
      .map((each) => (each instanceof protobuf.Enum ? enumeration(each) : message(each)))
      .join('\n\n');
    const text = lines(
      '/**',
      ` * Made from proto/${name}.proto by proto/generate.ts; change those, then run`,
      ' * `node proto/generate.ts`. A test makes it again and compares.',
      ' */',
      '',
      code.includes('NO_BYTES') ? `import { NO_BYTES } from '../../../base/bytes.ts';` : '',
      `import * as wire from '../wire.ts';`,
      `import type { WireReader, WireWriter } from '../wire.ts';`,
      importsFrom(all, name, code),
      '',
      code,
      '',
    );
    modules.set(name, formatted(text, join(GENERATED, `${name}.ts`)));
  }
  return modules;
}

/** As the project's formatter has it. */
function formatted(text: string, path: string): string {
  const folder = join(root, 'node_modules/@biomejs/biome');
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    readonly bin: { readonly biome: string };
  };
  const args = [join(folder, bin.biome), 'check', '--write', `--stdin-file-path=${path}`];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
    input: text,
  });
  // What does not parse is handed back as it was, without an error.
  if (status !== 0 || stdout === text) {
    throw new Error(`the module made for ${path} is not clean:\n${stderr}\n${text}`);
  }
  return stdout;
}

/** The project's own, by path. */
export function generateAll(): ReadonlyMap<string, string> {
  const read = (name: string): string =>
    readFileSync(join(import.meta.dirname, `${name}.proto`), 'utf8');
  const modules = generate(new Map(NAMES.map((name) => [name, read(name)])));
  return new Map([...modules].map(([name, text]) => [join(GENERATED, `${name}.ts`), text]));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const [path, text] of generateAll()) writeFileSync(path, text);
}
