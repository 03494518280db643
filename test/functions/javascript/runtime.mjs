// The Lambda Runtime API for a handler in Node.js: node runtime.mjs app.handler. AWS's own client, aws-lambda-ric, builds a
// library of C++ as it is installed, with autoconf and cmake, which the tests cannot ask for on every machine.
const [module, name] = process.argv[2].split('.');
const runtime = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime`;
const report = (path, error) => fetch(`${runtime}/${path}`, {
  method: 'POST',
  headers: { 'Lambda-Runtime-Function-Error-Type': error.name },
  body: JSON.stringify({ errorType: error.name, errorMessage: error.message, trace: error.stack.split('\n') }),
});

let handler;
try {
  handler = (await import(`./${module}.mjs`))[name];
} catch (error) {
  await report('init/error', error);
  process.exit(1);
}
for (;;) {
  // fetch gives up after five minutes without a response; the next event may come later.
  const next = await fetch(`${runtime}/invocation/next`).catch(() => null);
  if (next === null) continue;
  const id = next.headers.get('lambda-runtime-aws-request-id');
  try {
    const response = await handler(await next.json(), { awsRequestId: id });
    await fetch(`${runtime}/invocation/${id}/response`, { method: 'POST', body: JSON.stringify(response) });
  } catch (error) {
    await report(`invocation/${id}/error`, error);
  }
}
