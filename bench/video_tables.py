"""The tables of docs/video.md from bench/results/video.json and video_quality.json."""

from __future__ import annotations

from typing import Any


def quality(figures: dict[str, Any]) -> str:
    """One row for each way of enlarging."""
    rows = [
        "| network | GMAC a frame | PSNR-Y | PSNR-RGB | SSIM-Y | SSIM-RGB | easy, Y | hard, Y | training |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for version in figures["versions"]:
        trained = figures["training"].get(version["name"])
        seconds = f"{trained['cpu_seconds']:.0f} s of CPU" if trained else ""
        classes = {"easy": "", "hard": ""} | {name: f"{value:.2f}" for name, value in version["classes"].items()}
        rows.append(
            f"| {NAMES[version['name']]} | {version['gmac_per_frame']:.2f} | {version['psnr_y']:.2f} |"
            f" {version['psnr_rgb']:.2f} | {version['ssim_y']:.4f} | {version['ssim_rgb']:.4f} |"
            f" {classes['easy']} | {classes['hard']} | {seconds} |"
        )
    return "\n".join([*rows, "", f"{len(figures['frames'])} frames of the bundled clip, 640x360 to 1280x720."])


NAMES = {
    "bicubic": "bicubic",
    "shape": "two routes, cut by hardness (`--gate shape`)",
    "learned": "two routes, gate in the network (`--gate learned`)",
    "none": "one deep route, narrowed to the budget (`--gate none`)",
}


def speed(figures: dict[str, Any]) -> str:
    """Frames per second end to end, and the memory."""
    rows = [
        "| threads | dydca | PyTorch eager | speed-up | time in kernels | all else |",
        "|---|---|---|---|---|---|",
    ]
    for run in figures["speed"]:
        ours, eager, nothing = run["dydca"], run["eager"], run["nothing"]
        rows.append(
            f"| {run['threads']} | {ours['fps_median']:.2f} ({ours['fps_best']:.2f}) FPS |"
            f" {eager['fps_median']:.2f} ({eager['fps_best']:.2f}) FPS |"
            f" {ours['fps_median'] / eager['fps_median']:.2f}x ({ours['fps_best'] / eager['fps_best']:.2f}x) |"
            f" {ours['kernel_share_median']:.0%} | {nothing['cpu_ms_per_frame_least']:.0f} ms of CPU a frame |"
        )
    memory, machine = figures["memory"], figures["machine"]
    rows += [
        "",
        f"Median (best) of {figures['speed'][0]['rounds']} rounds of {figures['speed'][0]['frames']} frames;"
        f" {machine['processor']}, {machine['cores']} cores, {machine['vectors']}."
        f" Over {memory['frames']} frames the resident set is at most {max(memory['resident_mib']):.0f} MiB; its"
        f" peak in the second half is {memory['growth_mib_of_peak_in_second_half']:+.1f} MiB from that in the first.",
    ]
    return "\n".join(rows)
