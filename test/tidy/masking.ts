// Blanks comments and the insides of strings, so that a check sees code and code alone. Offsets
// and lines stay as they are. It knows TypeScript's tokens, not its grammar; a slash begins a
// regular expression where an operand may stand.

const OPERAND_MAY_FOLLOW = /(?:^|[([{,;:=!&|?+\-*%^~<>]|\b(?:return|typeof|case|in|of|await))$/;

export function maskCommentsAndStrings(text: string): string {
  const out = text.split('');
  /** For each open `${`, the depth of braces at which it ends. */
  const templateEnds: number[] = [];
  let braces = 0;
  let at = 0;

  const blank = (from: number, to: number): void => {
    for (let i = from; i < to; i += 1) if (out[i] !== '\n') out[i] = ' ';
  };
  const skipTemplate = (from: number): number => {
    let i = from;
    while (i < text.length && text[i] !== '`' && !text.startsWith('${', i)) {
      i += text[i] === '\\' ? 2 : 1;
    }
    blank(from, Math.min(i, text.length));
    if (text[i] !== '$') return i + 1;
    templateEnds.push(braces);
    braces += 1;
    return i + 2;
  };
  const skipRegularExpression = (from: number): number => {
    let i = from + 1;
    let inClass = false;
    while (i < text.length && text[i] !== '\n' && (inClass || text[i] !== '/')) {
      if (text[i] === '[') inClass = true;
      if (text[i] === ']') inClass = false;
      i += text[i] === '\\' ? 2 : 1;
    }
    blank(from + 1, i);
    return i + 1;
  };

  while (at < text.length) {
    const char = text[at];
    if (text.startsWith('//', at)) {
      const newline = text.indexOf('\n', at);
      const end = newline === -1 ? text.length : newline;
      blank(at, end);
      at = end;
    } else if (text.startsWith('/*', at)) {
      const close = text.indexOf('*/', at + 2);
      const end = close === -1 ? text.length : close + 2;
      blank(at, end);
      at = end;
    } else if (char === "'" || char === '"') {
      let end = at + 1;
      while (end < text.length && text[end] !== char && text[end] !== '\n') {
        end += text[end] === '\\' ? 2 : 1;
      }
      blank(at + 1, end);
      at = end + 1;
    } else if (char === '`') {
      at = skipTemplate(at + 1);
    } else if (char === '/' && OPERAND_MAY_FOLLOW.test(lastWords(out, at))) {
      at = skipRegularExpression(at);
    } else {
      if (char === '{') braces += 1;
      if (char === '}') {
        braces -= 1;
        if (templateEnds.at(-1) === braces) {
          templateEnds.pop();
          at = skipTemplate(at + 1);
          continue;
        }
      }
      at += 1;
    }
  }
  return out.join('');
}

function lastWords(out: readonly string[], at: number): string {
  return out
    .slice(Math.max(0, at - 200), at)
    .join('')
    .trimEnd();
}
