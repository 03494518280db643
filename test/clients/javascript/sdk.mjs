// Calls the API through the AWS SDK for JavaScript, with its own commands and exception classes.

import assert from "node:assert/strict";
import * as lattice from "@aws-sdk/client-vpc-lattice";

export class SDK {
  constructor(endpoint, maxAttempts = 1) {
    this.client = new lattice.VPCLatticeClient({ endpoint, region: "us-west-2", maxAttempts });
  }

  called = new Set();

  static operations() {
    return Object.keys(lattice).filter((name) => /^[A-Z]\w+Command$/.test(name)).map((name) => name.slice(0, -"Command".length));
  }

  async call(operation, parameters) {
    this.called.add(operation);
    const { $metadata, ...answer } = await this.client.send(new lattice[operation + "Command"](parameters));
    return answer;
  }

  async pages(operation, parameters, pageSize) {
    this.called.add(operation);
    const pages = [];
    // The paginator puts its tokens into what it is given.
    const paginator = lattice[`paginate${operation}`]({ client: this.client, pageSize }, { ...parameters });
    for await (const page of paginator) pages.push(page.items);
    return pages;
  }

  // refused expects an exception of the SDK's class with members, of which null stands for anything.
  async refused(exception, status, [operation, parameters], members = {}) {
    let answer;
    try {
      answer = await this.call(operation, parameters);
    } catch (error) {
      assert.ok(error instanceof lattice[exception], `${operation}: ${error}, not ${exception}`);
      assert.equal(error.$metadata.httpStatusCode, status, `${operation}: ${error}`);
      assert.ok(error.message, `${operation}: ${exception} has no message`);
      for (const [name, value] of Object.entries(members)) {
        if (value === null) assert.ok(error[name], `${operation}: ${exception} has no ${name}`);
        else assert.deepEqual(error[name], value, `${operation}: ${exception}.${name}`);
      }
      return error;
    }
    return assert.fail(`${operation} was not refused: ${JSON.stringify(answer)}`);
  }
}
