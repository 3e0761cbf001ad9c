# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

"""The files by which diffusers' `ModularPipeline` loads a saved pipeline."""

import json
from pathlib import Path

from diffusers import DiffusionPipeline, ModularPipeline, ModularPipelineBlocks

from ..pipelines import modular_blocks
from ..storage.reading import read_json


MODULAR_INDEX = str(ModularPipeline.config_name)
# Named as the module of the classes, as diffusers writes it into the config of the blocks.
_CODE = f"{modular_blocks.__name__.rpartition('.')[2]}.py"
MODULAR_FILES = (MODULAR_INDEX, str(ModularPipelineBlocks.config_name), _CODE)
# One text for all methods: diffusers copies the files of all folders to one place before it runs them. Classes of its
# own let the blocks know by their module which commit on the Hub they are from.
_TEXT = """\
# Copyright 2026 The gan_diffusion authors.
# SPDX-License-Identifier: Apache-2.0

from gan_diffusion.pipelines import modular_blocks


class DDGANBlocks(modular_blocks.DDGANBlocks):
    pass


class DiffusionGANBlocks(modular_blocks.DiffusionGANBlocks):
    pass


class SPIGANBlocks(modular_blocks.SPIGANBlocks):
    pass
"""


def write_modular_files(folder: Path, pipeline: DiffusionPipeline) -> None:
    """
    Writes what `ModularPipeline.from_pretrained` reads beside the saved pipeline.

    Args:
        folder (`Path`): The folder of the pipeline.
        pipeline ([`DiffusionPipeline`]): The pipeline that is saved there.
    """
    blocks = getattr(modular_blocks, type(pipeline).__name__.replace("Pipeline", "Blocks"))()
    blocks.save_pretrained(folder)
    # Its components have no place: in a folder, diffusers takes those that lie there.
    modular = ModularPipeline(blocks, config_dict={"id2label": pipeline.config.get("id2label")})
    for name in blocks.component_names:
        entry = {**modular.config[name][2], "type_hint": pipeline.config[name]}
        modular.register_to_config(**{name: (None, None, entry)})
    modular.save_config(folder)
    (folder / _CODE).write_text(_TEXT, encoding="utf-8")


def modular_index_for(file: Path, repo_id: str) -> str:
    """
    The index as it is published: with the repository, because on the Hub diffusers loads components by their names.

    Args:
        file (`Path`): The modular_model_index.json of a saved pipeline.
        repo_id (`str`): Name of the repository.

    Returns:
        `str`: the text of the file.

    Raises:
        ValueError: If the file is damaged.
    """
    index = read_json(file)
    for entry in index.values():
        if isinstance(entry, list) and len(entry) == 3 and isinstance(entry[2], dict):
            entry[2]["pretrained_model_name_or_path"] = repo_id
    return json.dumps(index, indent=2, sort_keys=True) + "\n"
