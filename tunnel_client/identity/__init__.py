"""As whom the app is asked, and how its answers are translated back."""
