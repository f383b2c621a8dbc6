package gate
import rego.v1

texts contains t if { walk(input.payload, [_, t]); is_string(t) }
under(keys) := [v | walk(input.payload, [p, v]); count(p) > 0; lower(p[count(p) - 1]) in keys]
amounts contains abs(v) if { some v in under(data.amount_keys); is_number(v) }
amounts contains abs(to_number(replace(v, ",", ""))) if { some v in under(data.amount_keys); is_string(v) }

holds(r) if r.test == ""
holds(r) if { r.test == "contains"; some t in texts; contains(t, r.value) }
holds(r) if { r.test == "amount_gt"; some a in amounts; a > r.value }
holds(r) if { r.test == "amount_lte"; count(amounts) > 0; every a in amounts { a <= r.value } }
holds(r) if { r.test == "path_prefix"; some p in under(data.path_keys); p == r.value }
holds(r) if { r.test == "path_prefix"; some p in under(data.path_keys); startswith(p, concat("", [r.value, "/"])) }

fired contains r.outcome if { some r in data.rules[input.capability]; holds(r) }
outcome := "deny" if "deny" in fired
else := "require_approval" if "require_approval" in fired
else := "allow" if "allow" in fired
else := "deny"
