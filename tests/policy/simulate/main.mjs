// Answers the cases of the policy test by cloud-copilot's simulator of AWS IAM: one JSON a line on standard input, one of
// "allow", "deny" and "implicit" a line on standard output.
import { createInterface } from 'node:readline'
import { runUnsafeSimulation } from '@cloud-copilot/iam-simulate'

const WORDS = { Allowed: 'allow', ExplicitlyDenied: 'deny', ImplicitlyDenied: 'implicit' }
const SEVERAL = new Set(['aws:TagKeys'])

function decide(policy, one) {
  const contextVariables = {}
  for (const [key, values] of Object.entries(one.context)) {
    contextVariables[key] = SEVERAL.has(key) ? values : values[0]
  }
  return WORDS[runUnsafeSimulation({
    request: {
      principal: 'arn:aws:iam::000000000000:user/bob',
      action: one.action,
      resource: { resource: one.resource, accountId: '000000000000' },
      contextVariables
    },
    identityPolicies: [{ name: 'policy', policy }],
    serviceControlPolicies: [],
    resourceControlPolicies: []
  }, {})]
}

let out = []
for await (const line of createInterface({ input: process.stdin })) {
  const one = JSON.parse(line)
  const answers = [decide(one.policy, one)]
  if (one.session) answers.push(decide(one.session, one))
  out.push(answers.includes('deny') ? 'deny' : answers.includes('implicit') ? 'implicit' : 'allow')
  if (out.length === 10000) {
    process.stdout.write(out.join('\n') + '\n')
    out = []
  }
}
if (out.length) process.stdout.write(out.join('\n') + '\n')
