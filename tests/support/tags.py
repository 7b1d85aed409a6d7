"""The tags of CRAFT-IOB."""

from craft_ray.core.labels import TAGS
from craft_ray.model.tags import TagSet

TAG_SET = TagSet.from_id2label(dict(enumerate(TAGS)))
