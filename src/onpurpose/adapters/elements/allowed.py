"""What an expression may be made of: nodes and functions known to touch their arguments and nothing else.

Whatever is not listed is refused. A function is taken to be the built-in one of its name.
"""

from __future__ import annotations

from sqlglot import exp

_FUNCTIONS = """
abs acos age any_value approx_count_distinct array array_agg array_append array_cat array_length array_position
array_prepend array_remove array_replace array_to_string ascii asin atan atan2 avg bit_and bit_length bit_or
bit_xor bool_and bool_or btrim cardinality cast cbrt ceil ceiling char_length character_length chr coalesce concat
concat_ws contains corr cos count count_if countif covar_pop covar_samp cume_dist curdate current_date
current_time current_timestamp date date_add date_diff date_part date_sub date_trunc dateadd datediff datetime
dayofmonth dayofweek dayofyear decode degrees dense_rank div encode endswith every exp extract first_value floor
format format_date format_timestamp generate_series generate_subscripts getdate greatest group_concat grouping
hex if ifnull iff initcap instr isnull json_agg json_array json_array_elements json_array_elements_text
json_array_length json_build_array json_build_object json_each json_each_text json_extract
json_extract_path_text json_group_array json_group_object json_object json_object_agg json_object_keys
json_typeof jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array
jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path_text jsonb_object_agg jsonb_object_keys
jsonb_pretty jsonb_typeof julianday justify_days justify_hours justify_interval lag last_day last_value
lcase lead least left length listagg ln localtime localtimestamp locate log log10 log2 lower lpad ltrim make_date
make_interval make_timestamp max md5 median min mod mode now nth_value ntile nullif nvl nvl2 octet_length overlay
percent_rank percentile_cont percentile_disc pi position pow power quote_ident quote_literal radians random
rand rank regexp_contains regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array
regexp_split_to_table regexp_substr repeat replace reverse right round row row_number row_to_json rpad rtrim
safe_cast safe_divide sign sin split_part sqrt starts_with startswith stddev stddev_pop stddev_samp
str_to_date strftime string_agg string_to_array string_to_table strpos substr substring sum sysdate tan
time timestamp timestamp_diff timestamp_trunc timestampdiff to_char to_date to_hex to_json to_jsonb to_number
to_timestamp to_tsquery to_tsvector total trim trunc truncate try_cast typeof ucase unicode unnest upper
var_pop var_samp variance week width_bucket year month day hour minute second quarter plainto_tsquery
phraseto_tsquery websearch_to_tsquery ts_rank ts_headline similarity gen_random_uuid uuid_generate_v4
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())
"""Names of functions, in lower case, that compute from their arguments, the time or chance."""

TABLE_FUNCTIONS = {
    "generate_series": (),
    "generate_subscripts": (),
    "unnest": (),
    "string_to_table": (),
    "regexp_split_to_table": (),
    "json_array_elements": ("value",),
    "json_array_elements_text": ("value",),
    "jsonb_array_elements": ("value",),
    "jsonb_array_elements_text": ("value",),
    "json_each": ("key", "value"),
    "json_each_text": ("key", "value"),
    "jsonb_each": ("key", "value"),
    "jsonb_each_text": ("key", "value"),
    "json_object_keys": (),
    "jsonb_object_keys": (),
}
"""Functions that may stand in `FROM`, with the columns that they give besides one of their alias's name."""

_BY_NAME = {exp.FUNCTION_BY_NAME[name.upper()] for name in FUNCTIONS if name.upper() in exp.FUNCTION_BY_NAME}

NODES: frozenset[type[exp.Expr]] = frozenset(_BY_NAME) | {
    # operators
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.Pow, exp.DPipe,
    exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot, exp.BitwiseLeftShift, exp.BitwiseRightShift,
    exp.And, exp.Or, exp.Xor, exp.Not, exp.Paren, exp.Tuple, exp.Between, exp.In, exp.Exists, exp.Any, exp.All,
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ,
    exp.Like, exp.ILike, exp.SimilarTo, exp.RegexpLike, exp.RegexpILike, exp.Escape, exp.Glob, exp.Overlaps,
    exp.ArrayContainsAll, exp.ArrayContainedBy, exp.ArrayOverlaps, exp.Distance, exp.MatchAgainst,
    # values
    exp.Literal, exp.Null, exp.Boolean, exp.Placeholder, exp.HexString, exp.BitString, exp.ByteString, exp.National,
    exp.RawString, exp.Interval, exp.Array, exp.Bracket, exp.Slice,
    # conversions and choices
    exp.Cast, exp.TryCast, exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.AtTimeZone, exp.Extract,
    # aggregates and windows
    exp.Distinct, exp.Filter, exp.Where, exp.WithinGroup, exp.Order, exp.Ordered, exp.WindowSpec, exp.IgnoreNulls,
    exp.RespectNulls, exp.GroupConcat, exp.Rollup, exp.Cube, exp.GroupingSets,
    # JSON
    exp.JSONExtract, exp.JSONExtractScalar, exp.JSONBExtract, exp.JSONBExtractScalar, exp.JSONBContains,
    exp.JSONBContainsTopKey, exp.JSONBContainsAnyTopKeys, exp.JSONBContainsAllTopKeys, exp.JSONPath,
    exp.JSONPathRoot, exp.JSONPathKey, exp.JSONPathSubscript, exp.JSONArrayAgg, exp.JSONObjectAgg, exp.JSONArray,
    exp.JSONObject, exp.JSONKeyValue,
    # what the parser makes of names above
    exp.TimestampTrunc, exp.DateTrunc, exp.StrPosition, exp.ExplodingGenerateSeries, exp.GenerateSeries,
    exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, exp.Localtime, exp.Localtimestamp, exp.CurrentUser,
    exp.SessionUser, exp.TimeToStr, exp.StrToTime, exp.StrToDate, exp.UnixToTime, exp.TsOrDsToDate, exp.Substring,
    exp.Trim, exp.Overlay, exp.DateAdd, exp.DateSub, exp.DateDiff, exp.TsOrDsAdd, exp.TsOrDsDiff, exp.TimestampDiff,
    exp.ToNumber, exp.ToChar, exp.Explode, exp.Unnest, exp.RegexpReplace, exp.RegexpExtract, exp.Log, exp.Rand,
    exp.Date, exp.Timestamp, exp.Year, exp.Month, exp.Day, exp.Week, exp.DayOfMonth, exp.DayOfWeek, exp.DayOfYear,
    exp.LogicalAnd, exp.LogicalOr, exp.Upper, exp.Lower, exp.Length, exp.Pad, exp.Decode, exp.Encode,
}  # fmt: skip
"""Nodes whose every child is an expression, and that touch nothing but their children."""

_UNITS = """
century day days decade dow doy epoch hour hours isodow isoweek isoyear julian microsecond microseconds millennium
millisecond milliseconds minute minutes month months quarter second seconds timezone week weeks year years 0
"""
UNITS = frozenset(_UNITS.split())
"""Words that name a part of a time; `0` stands where a literal stood."""

PLACES_OF_UNITS = (exp.Extract, exp.Interval)
"""Where a bare word is surely a unit, and no column, in every dialect."""

_GRAMMAR = """
all and any array as asc at between both by case cast collate conflict cross cube current current_date
current_time current_timestamp current_user date day days default delete desc distinct do double else end epoch
escape except exclude excluded exists extract false fetch filter first following for from full group grouping
groups having hour hours ignore ilike in inner insert intersect interval into is isnull join lateral last leading
left like limit local localtime localtimestamp locked matched materialized merge minute minutes month months
natural next no not nothing notnull nowait null nulls of offset on only or order ordinality others outer over
overlay partition placing preceding precision quarter range recursive regexp respect returning right rlike rollup
row rows second seconds select session_user set sets share similar skip some source symmetric table target then
ties time timestamp timestamptz to trailing true unbounded union unique unknown update using values varying week
weeks when where window with within without year years zone begin commit rollback separator div mod xor
bigint binary bit blob bool boolean bytea bytes char character datetime dec decimal float float4 float64 float8
inet int int2 int4 int64 int8 integer json jsonb nchar number numeric nvarchar real serial signed smallint
string text timetz tinyint unsigned uuid varbinary varchar variant xml key duplicate qualify hours glob
"""
GRAMMAR = frozenset(_GRAMMAR.split())
"""Words of SQL itself, and of its types. Every other word must be a name that was read, or a function."""
