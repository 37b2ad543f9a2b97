"""Failures, arithmetic, and the parts of aggregates."""

from __future__ import annotations

from typing import Final

SQL: Final = r"""
-- failures: a cast that cannot succeed, for error() may not stand within TRY
CREATE MACRO athena_fail(message) AS CAST('athena:' || message AS TINYINT);
CREATE MACRO athena_division_by_zero() AS athena_fail('DIVISION_BY_ZERO: Division by zero');
CREATE MACRO athena_bad_cast(x, name) AS
    athena_fail('INVALID_CAST_ARGUMENT: Cannot cast ''' || x || ''' to ' || name);
-- decimal quotients are rounded half away from zero: by way of floats, unless they are too large for
-- that or too near a half
CREATE MACRO athena_unit(t) AS pow(10, CAST(regexp_extract(t, ',(\d+)', 1) AS INTEGER));
CREATE MACRO athena_rounds_surely(q) AS abs(q) < 1e12 AND abs(abs(q - trunc(q)) - 0.5) > 1e-3;
-- whole numbers and decimals divided by zero fail, floats give infinity; a + b is of the result's type
CREATE MACRO athena_divide_unchecked(a, b) AS
    CASE
        WHEN typeof(a + b) IN ('DOUBLE', 'FLOAT') THEN cast_to_type(a / b, a + b)
        WHEN typeof(a + b) LIKE 'DECIMAL%' AND NOT athena_rounds_surely(a / b * athena_unit(typeof(a + b)))
            THEN cast_to_type(athena_decimal_quotient(CAST(a AS VARCHAR), CAST(b AS VARCHAR)), a + b)
        WHEN typeof(a + b) LIKE 'DECIMAL%' THEN cast_to_type(a / b, a + b)
        ELSE cast_to_type(a // b, a + b) END;
CREATE MACRO athena_divide(a, b) AS
    CASE
        WHEN typeof(a + b) NOT IN ('DOUBLE', 'FLOAT') AND b = 0
            THEN cast_to_type(athena_division_by_zero(), a + b)
        ELSE athena_divide_unchecked(a, b) END;
CREATE MACRO athena_divide_or_null(a, b) AS
    CASE
        WHEN typeof(a + b) NOT IN ('DOUBLE', 'FLOAT') AND b = 0 THEN NULL
        ELSE athena_divide_unchecked(a, b) END;
CREATE MACRO athena_modulo_or_null(a, b) AS
    CASE
        WHEN typeof(a % b) NOT IN ('DOUBLE', 'FLOAT') AND b = 0 THEN NULL
        ELSE a % b END;
CREATE MACRO athena_divide_whole(a, b) AS CASE WHEN b = 0 THEN athena_division_by_zero() ELSE a // b END;
CREATE MACRO athena_modulo(a, b) AS
    CASE
        WHEN typeof(a % b) NOT IN ('DOUBLE', 'FLOAT') AND b = 0
            THEN cast_to_type(athena_division_by_zero(), a % b)
        ELSE a % b END;
-- what round() gives of whole numbers and decimals is of the type that Athena gives
CREATE MACRO athena_ceil(x) AS cast_to_type(ceil(x), round(x));
CREATE MACRO athena_floor(x) AS cast_to_type(floor(x), round(x));
CREATE MACRO athena_truncate(x) AS cast_to_type(trunc(x), round(x));
CREATE MACRO athena_sign(x) AS cast_to_type(sign(x), round(x));
CREATE MACRO athena_round(x, n) AS cast_to_type(round(x, n), x + x);
-- where DuckDB fails, Java gives NaN or infinity
CREATE MACRO athena_sqrt(x) AS CASE WHEN x < 0 THEN CAST('nan' AS DOUBLE) ELSE sqrt(x) END;
CREATE MACRO athena_ln(x) AS
    CASE
        WHEN x > 0 OR isnan(CAST(x AS DOUBLE)) THEN ln(x)
        WHEN x = 0 THEN CAST('-inf' AS DOUBLE)
        WHEN x < 0 THEN CAST('nan' AS DOUBLE) END;
CREATE MACRO athena_log2(x) AS
    CASE
        WHEN x > 0 OR isnan(CAST(x AS DOUBLE)) THEN log2(x)
        WHEN x = 0 THEN CAST('-inf' AS DOUBLE)
        WHEN x < 0 THEN CAST('nan' AS DOUBLE) END;
CREATE MACRO athena_log10(x) AS
    CASE
        WHEN x > 0 OR isnan(CAST(x AS DOUBLE)) THEN log10(x)
        WHEN x = 0 THEN CAST('-inf' AS DOUBLE)
        WHEN x < 0 THEN CAST('nan' AS DOUBLE) END;
-- DuckDB's own is off by a bit: one step of Newton's method
CREATE MACRO athena_cbrt(x) AS
    CASE
        WHEN x = 0 OR NOT isfinite(CAST(x AS DOUBLE)) THEN CAST(x AS DOUBLE)
        ELSE cbrt(x) - (cbrt(x) * cbrt(x) * cbrt(x) - x) / (3 * cbrt(x) * cbrt(x)) END;
CREATE MACRO athena_log(b, x) AS athena_ln(x) / athena_ln(b);
CREATE MACRO athena_acos(x) AS CASE WHEN abs(x) > 1 THEN CAST('nan' AS DOUBLE) ELSE acos(x) END;
CREATE MACRO athena_asin(x) AS CASE WHEN abs(x) > 1 THEN CAST('nan' AS DOUBLE) ELSE asin(x) END;
CREATE MACRO athena_random(n) AS cast_to_type(floor(random() * n), n);
CREATE MACRO athena_random_between(a, b) AS cast_to_type(a + floor(random() * (b - a)), a);
CREATE MACRO athena_bit_count(x, bits) AS
    CAST(bit_count(CASE
        WHEN bits = 64 THEN CAST(x AS BIGINT)
        ELSE CAST(x AS BIGINT) & CAST((CAST(1 AS HUGEINT) << bits) - 1 AS BIGINT) END) AS BIGINT);
CREATE MACRO athena_right_shift(x, n) AS
    CASE
        WHEN CAST(x AS BIGINT) >= 0 THEN cast_to_type(x >> n, x)
        ELSE cast_to_type((CAST(x AS HUGEINT) + CAST('18446744073709551616' AS HUGEINT)) >> n, x) END;
CREATE MACRO athena_left_shift(x, n) AS CAST(CAST(x AS HUGEINT) * CAST(pow(2, n) AS HUGEINT) AS BIGINT);
CREATE MACRO athena_width_bucket(x, lo, hi, n) AS
    CASE
        WHEN lo <= hi THEN (CASE
            WHEN x < lo THEN 0
            WHEN x >= hi THEN CAST(n AS BIGINT) + 1
            ELSE CAST(floor((CAST(x AS DOUBLE) - lo) / (hi - lo) * n) AS BIGINT) + 1 END)
        ELSE (CASE
            WHEN x > lo THEN 0
            WHEN x <= hi THEN CAST(n AS BIGINT) + 1
            ELSE CAST(floor((lo - CAST(x AS DOUBLE)) / (lo - hi) * n) AS BIGINT) + 1 END) END;
CREATE MACRO athena_width_bucket_of(x, bins) AS CAST(len(list_filter(bins, lambda e: e <= x)) AS BIGINT);
-- of these the type alone matters: the sum of whole numbers is a BIGINT, of decimals a DECIMAL(38, …);
-- the average of whole numbers is a DOUBLE, of decimals of their own type
CREATE MACRO athena_sum_type(x) AS x * CAST(1 AS BIGINT) * CAST(1 AS BIGINT);
CREATE MACRO athena_avg_type(x) AS list_aggregate([x], 'median');
CREATE MACRO athena_average(plain, total, n, x) AS
    CASE
        WHEN typeof(x) LIKE 'DECIMAL%' THEN cast_to_type(athena_divide_unchecked(total, n), athena_avg_type(x))
        ELSE cast_to_type(plain, athena_avg_type(x)) END;
CREATE MACRO athena_skewness(s, n) AS s * (n - 2) / sqrt(CAST(n AS DOUBLE) * (n - 1));
"""
