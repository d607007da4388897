"""What several claim files share; no paper is claimed here."""
