"""Which functions Athena has, and what stands for each in DuckDB.

Source of the names: https://trino.io/docs/current/functions/list.html. DuckDB has many more; a query that
calls one of those fails as it would fail in Athena.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from fin_lake.local.athena.aggregate_functions import AGGREGATES
from fin_lake.local.athena.calls import Builder, Call
from fin_lake.local.athena.collection_functions import COLLECTIONS
from fin_lake.local.athena.errors import QueryFailed, unsupported
from fin_lake.local.athena.scalar_functions import SCALARS
from fin_lake.local.athena.time_functions import TIMES

FUNCTIONS: Final[Mapping[str, Builder]] = {**SCALARS, **TIMES, **COLLECTIONS, **AGGREGATES}
"""What is supported, by name in lower case."""
REFUSED: Final = frozenset(
    """approx_set array_first array_histogram array_last bar beta_cdf bing_tile bing_tile_at
    bing_tile_coordinates bing_tile_polygon bing_tile_quadkey bing_tile_zoom_level bing_tiles_around
    char2hexint checksum classify color combinations contains_sequence convex_hull_agg
    cosine_distance cosine_similarity current_groups dot_product empty_approx_set euclidean_distance
    evaluate_classifier_predictions features from_encoded_polyline from_geojson_geometry
    from_ieee754_32 from_ieee754_64 from_iso8601_timestamp_nanos geometry_from_hadoop_shape
    geometry_invalid_reason geometry_nearest_points geometry_to_bing_tiles geometry_union
    geometry_union_agg great_circle_distance hash_counts index intersection_cardinality
    inverse_beta_cdf jaccard_index json_array json_exists json_object json_query json_value
    learn_classifier learn_libsvm_classifier learn_libsvm_regressor learn_regressor
    line_interpolate_point line_interpolate_points line_locate_point make_set_digest map_normalise
    merge merge_set_digest multimap_concat murmur3 ngrams numeric_histogram objectid parse_duration
    parse_presto_data_size qdigest_agg quantile_at_value regress render rgb shuffle
    simplify_geometry soundex spatial_partitioning spatial_partitions spooky_hash_v2_32
    spooky_hash_v2_64 t_cdf t_pdf tdigest_agg timestamp_objectid to_char to_date to_encoded_polyline
    to_geojson_geometry to_geometry to_ieee754_32 to_ieee754_64 to_spherical_geography to_timestamp
    value_at_quantile values_at_quantiles version wilson_interval_lower wilson_interval_upper
    word_stem""".split()  # noqa: SIM905 - a line for each is 100 lines
)
"""What Athena has, and this does not."""


def translated(node: exp.Expr) -> exp.Expr:
    """Return what stands in DuckDB for a call, perhaps with ``FILTER`` and ``OVER`` around it.

    Raises
    ------
    QueryFailed
        Athena has no such function, or this has not; or the arguments do not fit.
    """
    call = Call.of(node)
    build = FUNCTIONS.get(call.name)
    if build is not None:
        return build(call)
    if call.name in REFUSED or call.name.startswith("st_"):
        raise unsupported(f"the function {call.name}")
    raise QueryFailed(f"FUNCTION_NOT_FOUND: line 1:1: Function '{call.name}' not registered")
