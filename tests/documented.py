"""The policies that the product was asked for with, word for word."""

SHELL = """\
# policies/shell_agent.yaml

deny:
  - capability: shell.execute
    contains: "rm -rf"
  - capability: shell.execute
    contains: "DROP TABLE"
  - capability: shell.root_access

require_approval:
  - capability: shell.execute
    contains: "systemctl"
  - capability: filesystem.write
    path_prefix: "/etc"

allow:
  - capability: shell.execute
  - capability: filesystem.read
  - capability: filesystem.write
"""

PAYMENTS = """\
deny:
  - capability: payments.transfer
    amount_gt: 50000

require_approval:
  - capability: payments.transfer
    amount_gt: 1000
  - capability: payments.refund
    amount_gt: 500

allow:
  - capability: payments.read
  - capability: payments.transfer
    amount_lte: 1000
"""

EXAMPLE = """\
policy_id: support_lookup_business_hours
purpose_id: customer_support_lookup
match:
  identity_required: true
  user_groups: ["support-tier-1", "support-tier-2"]
  data_source_id: salesforce_prod
decision: allow
token_ttl_minutes: 5
approval_required: false
shadow_mode: true
"""
"""The purpose policy of the form."""
