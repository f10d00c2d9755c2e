"""The metrics that come with the project, by name, with the columns that each fills."""

from __future__ import annotations

from sordino.metrics.composite import composite
from sordino.metrics.dnsmos import SAMPLE_RATE as DNSMOS_RATE
from sordino.metrics.dnsmos import dnsmos, fingerprint
from sordino.metrics.entry import Column, Metric
from sordino.metrics.perceptual import PESQ_RATES, estoi, pesq_nb, pesq_wb, stoi
from sordino.metrics.ratios import correlation, si_sdr_above_db, si_sdr_db, snr_db

METRICS: dict[str, Metric] = {
    "pesq_wb": Metric(pesq_wb, {"pesq_wb": Column("PESQ-wb")}, "pesq", "wb", rates=PESQ_RATES["wb"]),
    "pesq_nb": Metric(pesq_nb, {"pesq_nb": Column("PESQ-nb")}, "pesq", "nb", rates=PESQ_RATES["nb"]),
    "stoi": Metric(stoi, {"stoi": Column("STOI (%)", 1, 100)}, "pystoi"),
    "estoi": Metric(estoi, {"estoi": Column("ESTOI (%)", 1, 100)}, "pystoi", "extended"),
    "composite": Metric(
        composite,
        {
            "csig": Column("CSIG"),
            "cbak": Column("CBAK"),
            "covl": Column("COVL"),
            "llr": Column("LLR", higher_is_better=False),
            "wss": Column("WSS", higher_is_better=False),
            "segsnr_db": Column("segSNR (dB)"),
        },
        mode="16 kHz, PESQ-wb",
        rates=PESQ_RATES["wb"],
    ),
    "si_sdr_db": Metric(lambda clean, estimate, _: si_sdr_db(clean, estimate), {"si_sdr_db": Column("SI-SDR (dB)")}),
    "si_sdr_120_db": Metric(si_sdr_above_db, {"si_sdr_120_db": Column("SI-SDR >120 Hz (dB)")}, mode="above 120 Hz"),
    "snr_db": Metric(lambda clean, estimate, _: snr_db(clean, estimate), {"snr_db": Column("SNR (dB)")}),
    "correlation": Metric(
        lambda clean, estimate, _: correlation(clean, estimate), {"correlation": Column("Correlation")}
    ),
    "dnsmos": Metric(
        lambda _, estimate, sample_rate: dnsmos(estimate, sample_rate),
        {
            "dnsmos_ovrl": Column("DNSMOS OVRL"),
            "dnsmos_sig": Column("DNSMOS SIG"),
            "dnsmos_bak": Column("DNSMOS BAK"),
        },
        package="sig_bak_ovr.onnx",
        mode="P.835",
        needs_clean=False,
        rates=(DNSMOS_RATE,),
        release=fingerprint,
    ),
}
"""Catalogue of metrics. PESQ comes before the composite measures, which reuse its value."""
