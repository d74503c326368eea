// The packed widget that is in the repository, and so in the server, is what its sources give.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { test } from "node:test";

test("the packed widget is what the sources give", async () => {
  const build = fileURLToPath(new URL("../../priyo-core/web/build", import.meta.url));
  const said = await promisify(execFile)(build, ["--check"]).then(() => "", (error) => error.stderr);
  assert.equal(said, "");
});
