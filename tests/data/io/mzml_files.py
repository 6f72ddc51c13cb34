"""Writer of small mzML files, after the schema of HUPO-PSI, version 1.1.0."""

import base64
import zlib
from collections.abc import Sequence

import numpy as np


def cv(accession: str, name: str, value: object = "") -> str:
    return f'<cvParam cvRef="MS" accession="{accession}" name="{name}" value="{value}"/>'


def array(values: Sequence[float], kind: str, dtype: str, compressed: bool) -> str:
    content = np.asarray(values, dtype=dtype).tobytes()
    encoded = base64.b64encode(zlib.compress(content) if compressed else content).decode()
    types = {"<f8": cv("MS:1000523", "64-bit float"), "<f4": cv("MS:1000521", "32-bit float")}
    kinds = {"mz": cv("MS:1000514", "m/z array"), "intensity": cv("MS:1000515", "intensity array")}
    packing = cv("MS:1000574", "zlib compression") if compressed else cv("MS:1000576", "no compression")
    return (
        f'<binaryDataArray encodedLength="{len(encoded)}">{types[dtype]}{packing}{kinds[kind]}'
        f"<binary>{encoded}</binary></binaryDataArray>\n"
    )


def spectrum(
    number: int,
    peaks: Sequence[tuple[float, float]],
    *,
    level: int = 2,
    stated: int | None = None,
    precursor: float = 47.05,
    energy: float | None = 20.0,
    profile: bool = False,
    positive: bool = True,
    compressed: bool = True,
) -> str:
    mode = cv("MS:1000130", "positive scan") if positive else cv("MS:1000129", "negative scan")
    form = cv("MS:1000128", "profile spectrum") if profile else cv("MS:1000127", "centroid spectrum")
    activation = "" if energy is None else cv("MS:1000045", "collision energy", energy)
    isolated = (
        '<precursorList count="1"><precursor><selectedIonList count="1"><selectedIon>'
        f"{cv('MS:1000744', 'selected ion m/z', precursor)}{cv('MS:1000041', 'charge state', 1)}"
        f"</selectedIon></selectedIonList><activation>{activation}</activation></precursor></precursorList>"
    )
    x, y = [peak[0] for peak in peaks], [peak[1] for peak in peaks]
    return (
        f'<spectrum index="{number - 1}" id="scan={number}" defaultArrayLength="{stated or len(peaks)}">\n'
        f"{cv('MS:1000511', 'ms level', level)}{form}{mode}{isolated if level > 1 else ''}\n"
        f'<binaryDataArrayList count="2">{array(x, "mz", "<f8", compressed)}'
        f"{array(y, 'intensity', '<f4', compressed)}</binaryDataArrayList></spectrum>\n"
    )


def mzml(*spectra: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<mzML xmlns="http://psi.hupo.org/ms/mzml" version="1.1.0">\n'
        '<cvList count="1"><cv id="MS" fullName="PSI-MS" URI="psi-ms.obo"/></cvList>\n'
        f'<run id="run"><spectrumList count="{len(spectra)}">\n{"".join(spectra)}</spectrumList></run></mzML>\n'
    )
