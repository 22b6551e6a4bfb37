"""The content-aware side of Dy-DCA: frames in, patches by how hard they are, frames out, and how good they became."""
