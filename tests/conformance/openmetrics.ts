/** OpenMetrics 1.0.0: what a scraper holds a text to. */

import { assert } from "./registry.js";

/** One family, with its samples by name and labels. */
export interface Family {
  name: string;
  type: string;
  unit?: string;
  help?: string;
  samples: Map<string, number>;
}

/** Gives the families, with their samples; asserts that the text keeps the grammar. */
export function parseOpenMetrics(text: string) {
  assert.isTrue(text.endsWith("\n# EOF\n") || text === "# EOF\n", "it ends with # EOF and a line feed");
  const families = new Map<string, Family>();
  let family: Family | undefined;
  for (const line of text.slice(0, -"# EOF\n".length).split("\n").slice(0, -1)) {
    const meta = line.match(/^# (TYPE|UNIT|HELP) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/);
    if (meta) {
      const [, kind, name = "", value = ""] = meta;
      if (kind === "TYPE") {
        assert.isFalse(families.has(name), `${name} appears once`);
        assert.match(value, /^(counter|gauge|summary|stateset)$/);
        family = { name, type: value, samples: new Map() };
        families.set(name, family);
      } else {
        assert.equal(name, family?.name, `${kind} stands with its TYPE`);
        assert.equal(family?.samples.size, 0, "metadata stands before the samples");
        if (kind === "UNIT" && family) {
          assert.isTrue(name.endsWith(`_${value}`), `${name} ends with its unit`);
          family.unit = value;
        } else if (family) family.help = value;
      }
      continue;
    }
    const sample = line.match(/^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(.*)\})? (\S+)$/);
    assert.isNotNull(sample, `a sample or metadata: ${line}`);
    const [, name = "", , labels = "", number = ""] = sample ?? [];
    assert.match(labels, /^(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"(?:,(?!$)|$))*$/, line);
    assert.match(number, /^[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf|NaN)$/, line);
    const suffixes: Record<string, RegExp> = {
      counter: /^_total$/,
      gauge: /^$/,
      summary: /^(|_count|_sum)$/,
      stateset: /^$/,
    };
    assert.isTrue(name.startsWith(family?.name ?? "\0"), `${name} stands with its family`);
    assert.match(name.slice(family?.name.length), suffixes[family?.type ?? ""] ?? /never/, line);
    if (family?.type === "counter") assert.isAtLeast(Number(number), 0);
    if (family?.type === "stateset") {
      assert.include(labels, `${family.name}="`);
      assert.match(number, /^[01]$/);
    }
    assert.isFalse(family?.samples.has(name + labels), `once: ${line}`);
    family?.samples.set(name + labels, Number(number));
  }
  return families;
}
