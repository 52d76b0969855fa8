/** What may be typed into a number field: `512*1.5`, `(1024-64)/2`, `+=8`, `1e-3`. No code is run. */

/** The value, or null if it is no arithmetic. An operator first means: of the present value. */
export function evaluate(text: string, present = 0): number | null {
  const relative = /^\s*([*/]|[+-]=|[*/]=)(.*)$/.exec(text);
  const source = relative === null ? text : `${present} ${relative[1]![0]} (${relative[2]})`;
  const reader = new Reader(source.match(/\s*(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+|\*\*|\S)/g)?.map((token) => token.trim()) ?? []);
  const value = reader.sum();
  return value !== null && reader.atEnd() && Number.isFinite(value) ? value : null;
}

class Reader {
  private at = 0;
  private depth = 0;

  constructor(private readonly tokens: readonly string[]) {}

  atEnd(): boolean {
    return this.at === this.tokens.length;
  }

  sum(): number | null {
    return this.chain(() => this.product(), { '+': (a, b) => a + b, '-': (a, b) => a - b });
  }

  private product(): number | null {
    return this.chain(() => this.power(), { '*': (a, b) => a * b, '/': (a, b) => a / b, '%': (a, b) => a % b });
  }

  private chain(part: () => number | null, operators: Readonly<Record<string, (a: number, b: number) => number>>): number | null {
    let value = part();
    for (let token = this.tokens[this.at] ?? ''; value !== null && Object.hasOwn(operators, token); token = this.tokens[this.at] ?? '') {
      this.at++;
      const next = part();
      value = next === null ? null : operators[token]!(value, next);
    }
    return value;
  }

  private power(): number | null {
    const base = this.atom();
    if (base === null || !['^', '**'].includes(this.tokens[this.at] ?? '')) return base;
    this.at++;
    const exponent = this.power();
    return exponent === null ? null : base ** exponent;
  }

  private atom(): number | null {
    const token = this.tokens[this.at++];
    if (token === undefined || this.depth > 100) return null;
    if (token === '-' || token === '+') {
      this.depth++;
      const value = this.power();
      this.depth--;
      return value === null ? null : token === '-' ? -value : value;
    }
    if (token !== '(') return /^[\d.]/.test(token) ? Number(token) : null;
    this.depth++;
    const value = this.sum();
    this.depth--;
    return this.tokens[this.at++] === ')' ? value : null;
  }
}
